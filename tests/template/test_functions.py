"""The functions: that they are set up with what they read, and follow their parameters."""

import json
from pathlib import Path

import pytest
from stack import SINKS, Stack, transform

CONTRACT = json.loads((Path(__file__).parent / "contract.json").read_text())


def test_each_variable_that_a_function_reads_is_set_and_each_set_is_read(combination):
    for sink in SINKS:
        assert set(combination.stack.variables(sink)) == set(CONTRACT["variables"][f"sink{sink}Data"])


def test_variables_name_the_tables(combination):
    brings = combination.brings_tables
    for sink in SINKS:
        variables = combination.stack.variables(sink)
        assert variables["TABLE_NAME"] == (f"their-{sink.lower()}" if brings else f"{sink}Table")
        assert variables["QUARANTINE_TABLE_NAME"] == ("their-quarantine" if brings else "QuarantineTable")
        tombstones = "their-tombstones" if brings else "SeatoolTombstonesTable"
        assert variables.get("TOMBSTONE_TABLE_NAME") == (tombstones if sink == "Seatool" else None)


@pytest.mark.parametrize(
    ("parameter", "value", "variable", "sinks"),
    [
        ("Stage", "val", "STAGE", SINKS),
        ("AppianEpoch", "3", "EPOCH", ["Appian"]),
        ("SeatoolEpoch", "4", "EPOCH", ["Seatool"]),
        ("StatementsPerRequest", "1", "DYNAMODB_STATEMENTS_PER_REQUEST", SINKS),
        ("MaxConcurrency", "16", "DYNAMODB_MAX_CONCURRENCY", SINKS),
        ("TombstoneRetentionDays", "unlimited", "TOMBSTONE_RETENTION_DAYS", ["Seatool"]),
        ("QuarantineRetentionDays", "30", "QUARANTINE_RETENTION_DAYS", SINKS),
        ("KeepConnectSchema", "true", "KEEP_CONNECT_SCHEMA", ["Appian"]),
    ],
)
def test_a_variable_follows_its_parameter(parameter, value, variable, sinks):
    changed, default = Stack(**{parameter: value}), Stack()
    for sink in SINKS:
        expected = value if sink in sinks else default.variables(sink).get(variable)
        assert changed.variables(sink).get(variable) == expected


def test_the_functions_follow_their_parameters():
    stack = Stack(
        Architecture="x86_64",
        MemorySize="512",
        Timeout="90",
        ReservedConcurrency="5",
        LogLevel="DEBUG",
        LogRetentionDays="30",
        Tracing="Active",
    )
    for function in SINKS.values():
        properties = stack.properties(function)
        assert properties["Architectures"] == ["x86_64"]
        assert (properties["MemorySize"], properties["Timeout"]) == ("512", "90")
        assert properties["ReservedConcurrentExecutions"] == "5"
        assert properties["TracingConfig"] == {"Mode": "Active"}
        group_id = f"{function.removesuffix('Function')}LogGroup"
        assert properties["LoggingConfig"] == {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "DEBUG",
            "LogGroup": group_id,
        }
        group = stack.properties(group_id)
        assert group["RetentionInDays"] == "30"
        assert group["LogGroupName"] == f"/aws/lambda/{properties['FunctionName']}"


def test_the_defaults_are_what_the_guide_says():
    stack = Stack()
    for function in SINKS.values():
        properties = stack.properties(function)
        assert properties["Runtime"] == "provided.al2023"
        assert properties["Architectures"] == ["arm64"]
        assert properties["TracingConfig"] == {"Mode": "PassThrough"}
        assert "ReservedConcurrentExecutions" not in properties
        assert "VpcConfig" not in properties


# The other tests transform the template once only.
def test_the_transform_does_not_depend_on_parameters():
    parameters = {"PollerMode": "provisioned", "Stage": "val", "AppianEpoch": "7", "FunctionSubnetIds": "subnet-8"}
    assert transform(parameters) == transform({})
