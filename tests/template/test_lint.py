"""cfn-lint, which has AWS's own schemas and actions, finds nothing, whatever the parameters are."""

import subprocess
import sys
from pathlib import Path

import pytest
from combinations import BY_NAME
from stack import ROOT, commented_samconfig, stages

# Those that together take every branch of the template.
NAMES = [
    "on-demand-SASL_SCRAM_256_AUTH-sqs-brings_tables-brings_security_group-functions_in_vpc",
    "provisioned-CLIENT_CERTIFICATE_TLS_AUTH-s3",
    "provisioned-none-none-functions_in_vpc",
    "provisioned-IAM_AUTH-kafka",
    "provisioned-none-sqs-brings_tables-functions_in_vpc-brings_failures",
    "provisioned-none-auto-is_traced",
]
CASES = stages() | stages(commented_samconfig()) | {name: BY_NAME[name].parameters for name in NAMES}


@pytest.mark.parametrize("parameters", CASES.values(), ids=CASES)
def test_cfn_lint_finds_nothing(parameters):
    values = [f"{name}={value}" for name, value in parameters.items()]
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--template", ROOT / "template.yaml", "--parameters", *values],
        capture_output=True,
        text=True,
    )
    assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")
