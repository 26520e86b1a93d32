"""The functions: that they are set up with what they read, and follow their parameters."""

import pytest
from combinations import THEIR_TABLES
from stack import CONTRACT, DELETING, SINKS, VARIABLES, Stack, transform


def test_each_variable_that_a_function_reads_is_set_and_each_set_is_read(combination):
    for sink in SINKS:
        assert set(combination.stack.variables(sink)) == set(VARIABLES[sink])


def test_variables_name_the_tables(combination):
    def name(table):
        return THEIR_TABLES[table] if combination.brings_tables else f"{table}Table"

    for sink in SINKS:
        variables = combination.stack.variables(sink)
        assert variables["TABLE_NAME"] == name(sink)
        assert variables["QUARANTINE_TABLE_NAME"] == name("Quarantine")
        tombstones = name(f"{sink}Tombstones") if sink in DELETING else None
        assert variables.get("TOMBSTONE_TABLE_NAME") == tombstones


@pytest.mark.parametrize("of", SINKS)
@pytest.mark.parametrize("variable", CONTRACT["parameters"])
def test_a_variable_follows_its_parameter(variable, of):
    parameter, value = CONTRACT["parameters"][variable]
    is_own = "{sink}" in parameter
    changed, default = Stack(**{parameter.format(sink=of): value}), Stack()
    for sink in SINKS:
        before = default.variables(sink).get(variable)
        follows = variable in VARIABLES[sink] and (sink == of or not is_own)
        assert before != value
        assert changed.variables(sink).get(variable) == (value if follows else before)


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
