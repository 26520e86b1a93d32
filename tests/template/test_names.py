"""The names that the stack gives to things: they fit, and are no names of the connector that was here before."""

import re

from stack import Stack, commented_samconfig, samconfig, source, stages

# The most characters that AWS takes.
LIMITS = {
    ("AWS::CloudWatch::Alarm", "AlarmName"): 255,
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,
    ("AWS::DynamoDB::Table", "TableName"): 255,
    ("AWS::KMS::Alias", "AliasName"): 256,
    ("AWS::Lambda::EventSourceMapping", "ConsumerGroupId"): 200,
    ("AWS::Lambda::EventSourceMapping", "PollerGroupName"): 128,
    ("AWS::Lambda::Function", "FunctionName"): 64,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::SQS::Queue", "QueueName"): 80,
}

# What of the connector that was here before has a name, on each of its stages.
BEFORE = [
    "/aws/lambda/compare-connector-{stage}-sinkAppianData",
    "/aws/lambda/compare-connector-{stage}-sinkSeatoolData",
    "alias/compare-connector-{stage}",
    "compare-appian-{stage}",
    "compare-connector-{stage}",
    "compare-connector-{stage}-sinkAppianData",
    "compare-connector-{stage}-sinkAppianData-errors",
    "compare-connector-{stage}-sinkSeatoolData",
    "compare-connector-{stage}-sinkSeatoolData-errors",
    "compare-seatool-{stage}",
    "esm.compare-connector-{stage}",
    "--compare--{stage}--esm.compare-connector-{stage}",
]


def names(stack):
    """The texts that carry the names of stage or deployment, by type of resource and property."""

    def of(value, resource_type, key):
        if isinstance(value, dict):
            for member_key, member in value.items():
                yield from of(member, resource_type, member_key)
        elif (resource_type, key) in LIMITS:
            yield resource_type, key, value

    for resource in stack.resources.values():
        yield from of(resource["Properties"], resource["Type"], None)


def complete(**parameters):
    """A stack with everything that has a name: of a bucket CloudFormation makes up the name, so that it is no matter."""
    return Stack(PollerMode="provisioned", OnFailureDestination="sqs", **parameters)


def longest(parameter):
    """The longest value that a parameter's pattern allows."""
    return "x" * (1 + int(re.search(r"\{0,(\d+)\}\$", source()["Parameters"][parameter]["AllowedPattern"])[1]))


def test_the_longest_names_fit():
    stack = complete(Prefix=longest("Prefix"), Stage=longest("Stage"))
    found = set()
    for resource_type, key, name in names(stack):
        found.add((resource_type, key))
        assert len(name) <= LIMITS[resource_type, key]
    assert found == LIMITS.keys()
    # No name is left out that has the stage in it.
    for resource in stack.resources.values():
        for key, value in resource["Properties"].items():
            if key.endswith("Name") and longest("Stage") in value:
                assert (resource["Type"], key) in LIMITS
    for group in stack.of_type("AWS::EC2::SecurityGroup").values():
        assert len(group["GroupDescription"]) <= 255


def own_names(parameters):
    """The parameters without the names of what exists already, which are what they are on purpose."""
    return {name: value for name, value in parameters.items() if not name.endswith(("TableName", "GroupId", "Enabled"))}


def test_no_name_of_samconfigs_stages_is_one_of_the_connector_that_was_here_before():
    config = samconfig() | commented_samconfig()
    for stage, parameters in stages(config).items():
        before = {name.format(stage=stage) for name in BEFORE}
        ours = {name for _, _, name in names(complete(**own_names(parameters)))}
        ours.add(config[stage]["global"]["parameters"]["stack_name"])
        assert not ours & before
    # Without the prefix of these stages they would be.
    same = {name for _, _, name in names(complete(Stage="master"))}
    assert {name.format(stage="master") for name in BEFORE} & same
