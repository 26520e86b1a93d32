"""Runs a test that asks for a `combination` with each of them."""

import combinations


def pytest_generate_tests(metafunc):
    if "combination" in metafunc.fixturenames:
        metafunc.parametrize("combination", combinations.ALL, ids=str)
