"""What may be deployed: parameters that make no sense together are refused, and each stage's make a stack."""

import itertools
import re

import pytest
from combinations import BUCKET, CLUSTER, FAILURES_KEY, QUEUE, ROOT_CA, SECRET, THEIR_TABLES
from stack import ROOT, SINKS, SSM, RuleBroken, Stack, commented_samconfig, samconfig, source, stages


IAM = {"Authentication": "IAM_AUTH", "ClusterArn": CLUSTER}
PROVISIONED_TO_KAFKA = {"OnFailureDestination": "kafka", "PollerMode": "provisioned"}


@pytest.mark.parametrize(
    ("rule", "parameters"),
    [
        ("AuthenticationNeedsItsSecret", {"Authentication": "BASIC_AUTH"}),
        ("AuthenticationNeedsItsSecret", {"Authentication": "SASL_SCRAM_512_AUTH", "RootCaSecretArn": ROOT_CA}),
        ("SecretNeedsAuthentication", {"AuthenticationSecretArn": SECRET}),
        ("SecretNeedsAuthentication", IAM | {"AuthenticationSecretArn": SECRET}),
        ("IamNeedsTheCluster", {"Authentication": "IAM_AUTH"}),
        *((f"{sink}TimestampIsGiven", {f"{sink}StartingPosition": "AT_TIMESTAMP"}) for sink in SINKS),
        *(
            ("TablesAreDistinct", {f"{table}TableName": "one" for table in pair})
            for pair in itertools.combinations(THEIR_TABLES, 2)
        ),
        ("KafkaDestinationNeedsProvisionedMode", {"OnFailureDestination": "kafka", "FailuresTopic": "failures"}),
        ("KafkaDestinationNeedsItsTopic", {"OnFailureDestination": "kafka", "PollerMode": "provisioned"}),
        *(
            ("FailuresTopicIsAnother", PROVISIONED_TO_KAFKA | {"FailuresTopic": "failures", f"{sink}Topic": "failures"})
            for sink in SINKS
        ),
        ("FailuresGoWhereTheyShould", {"FailuresBucketArn": BUCKET, "OnFailureDestination": "sqs"}),
        ("FailuresGoWhereTheyShould", {"FailuresQueueArn": QUEUE}),
        ("FailuresGoWhereTheyShould", {"FailuresTopic": "failures"}),
        ("FailuresGoWhereTheyShould", {"FailuresKeyArn": FAILURES_KEY}),
        ("TombstonesOutliveTheQuarantine", {"QuarantineRetentionDays": "unlimited"}),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(rule, parameters):
    with pytest.raises(RuleBroken, match=f"^{rule}: "):
        Stack(**parameters)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("Stage", "Production"),
        ("Stage", "a" * 31),
        ("PollerMode", "partial"),
        ("OnFailureDestination", "sns"),
        ("Authentication", "SASL_SCRAM_1_AUTH"),
        ("AuthenticationSecretArn", "kafka"),
        ("KafkaSecurityGroupId", "security_group:sg-1"),
        ("AppianTableName", "arn:aws:dynamodb:us-east-1:111122223333:table/theirs"),
        ("FailuresBucketArn", "their-failures"),
        ("FailuresQueueArn", "their-failures"),
        ("FailuresTopic", "kafka://failures"),
        ("FailuresTopic", "abc"),
        ("AppianConsumerGroupId", "a group"),
        ("KeyArn", "arn:aws:kms:us-east-1:111122223333:alias/mine"),
        ("TopicNamespace", ".x"),
        ("TombstoneRetentionDays", "0"),
        ("TombstoneRetentionDays", "36501"),
        ("QuarantineRetentionDays", "never"),
        ("ReservedConcurrency", "0"),
        ("MaximumRecordAge", "0"),
        ("MaximumRecordAge", "59"),
        ("MaximumRecordAge", "604801"),
        ("ClusterArn", "arn:aws:kafka:us-east-1:111122223333:cluster/kafka"),
        # Lambda would drop the metrics' lines.
        ("LogLevel", "WARN"),
        ("Architecture", "x86"),
        ("RolePath", "delegated"),
        ("RolePath", f"/{'x' * 511}/"),
        ("Prefix", "a" * 18),
        ("Prefix", "Compare"),
    ],
)
def test_values_that_would_fail_later_are_refused(parameter, value):
    with pytest.raises(ValueError, match=parameter):
        Stack(**{parameter: value})


def test_every_stage_makes_a_stack_of_its_own():
    assert list(stages()) == ["default", "master", "val", "production"]
    for stage, parameters in stages().items():
        stack = Stack(**parameters)
        for sink, function in SINKS.items():
            assert stack.variables(sink)["STAGE"] == stage
            assert stack.properties(function)["FunctionName"] == f"compare-sinks-{stage}-sink{sink}Data"
        tables = [table["TableName"] for table in stack.of_type("AWS::DynamoDB::Table").values()]
        assert all(table.startswith(f"compare-sinks-{stage}-") for table in tables)


def test_what_matters_is_confirmed():
    config = samconfig()
    confirmed = {stage for stage in stages() if config[stage]["deploy"]["parameters"]["confirm_changeset"]}
    assert confirmed == {"master", "val", "production"}
    for stage in stages():
        assert set(config[stage]) == {"global", "build", "validate", "deploy", "sync"}
        assert config[stage]["global"]["parameters"]["stack_name"] == f"compare-sinks-{stage}"
        deploy, sync = (config[stage][section]["parameters"] for section in ("deploy", "sync"))
        assert deploy["tags"] == sync["tags"]
        assert sync["watch"] == (stage == "default")
        # It creates and updates the stack without a change set, which a transform takes one more capability for.
        assert sync["capabilities"] == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
        # What is built and what runs it: a deployment that leaves it out would keep the stack's value.
        assert "Architecture" in stages()[stage]
        for section in ("build", "deploy", "sync"):
            assert "parameter_overrides" not in config[stage][section]["parameters"]


def test_the_commented_stage_fits_an_account_that_demands_more():
    config = commented_samconfig()
    ((stage, parameters),) = stages(config).items()
    assert config[stage].keys() == samconfig()["production"].keys()
    assert config[stage]["deploy"]["parameters"]["confirm_changeset"]
    assert config[stage]["global"]["parameters"]["stack_name"] == f"compare-sinks-{stage}"
    # SAM ends a value at a space, and takes none that is empty.
    assert all(re.fullmatch(r"[^\s\"']+", value) for value in parameters.values())
    absent = [sink for sink in SINKS if parameters.get(f"{sink}Enabled") == "absent"]
    assert len(absent) > 1
    before, stack = Stack(**parameters), Stack(**parameters | {f"{sink}Enabled": "true" for sink in absent})
    assert stack.resources.keys() - before.resources.keys() >= {f"{sink}Mapping" for sink in absent}
    created = [table for table in THEIR_TABLES if f"{table}TableName" not in parameters]
    assert {"SeatoolTombstones", "Quarantine"} <= set(created)
    assert set(stack.of_type("AWS::DynamoDB::Table")) == {f"{table}Table" for table in created}
    assert not stack.of_type("AWS::EC2::SecurityGroup")
    for role in stack.of_type("AWS::IAM::Role").values():
        assert role["Path"] == "/delegatedadmin/developer/"
        assert role["PermissionsBoundary"].startswith("arn:aws:iam::111122223333:policy/")
    for sink, function in SINKS.items():
        assert len(stack.properties(function)["VpcConfig"]["SubnetIds"]) == 3
        assert stack.properties(function)["VpcConfig"]["SecurityGroupIds"] == ["sg-0123456789abcdef0"]
        group = stack.properties(f"{sink}Mapping")["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
        assert group == parameters.get(f"{sink}ConsumerGroupId", f"esm.compare-sinks-strict-sink{sink}Data")


# CloudFormation refuses a whole template whose rules use another one, even if the rule does not apply.
RULE_FUNCTIONS = {"Fn::And", "Fn::Contains", "Fn::Equals", "Fn::Not", "Fn::Or", "Ref"}


def test_rules_use_only_what_cloudformation_allows_there():
    def functions(value):
        if isinstance(value, dict):
            for key, member in value.items():
                yield key
                yield from functions(member)
        elif isinstance(value, list):
            for element in value:
                yield from functions(element)

    for rule in source()["Rules"].values():
        for expression in [rule.get("RuleCondition"), *(assertion["Assert"] for assertion in rule["Assertions"])]:
            assert set(functions(expression)) <= RULE_FUNCTIONS


@pytest.mark.parametrize("age", [-1, 60, 61, 99, 100, 99_999, 100_000, 599_999, 600_000, 603_999, 604_000, 604_799, 604_800])
def test_any_age_of_a_record_that_lambda_takes_is_accepted(age):
    assert Stack(MaximumRecordAge=str(age), PollerMode="provisioned").properties("AppianMapping")[
        "MaximumRecordAgeInSeconds"
    ] == str(age)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_to_three_subnets_work(count):
    subnets = [f"subnet-{number}" for number in range(count)]
    stack = Stack(SSM | {"/compare/default/kafkaSubnets": subnets})
    access = stack.properties("AppianMapping")["SourceAccessConfigurations"]
    assert [entry["URI"] for entry in access if entry["Type"] == "VPC_SUBNET"] == subnets


def test_brokers_and_subnets_may_be_read_from_elsewhere():
    ssm = {"/other/brokers": ["b:9092"], "/other/subnets": ["subnet-7", "subnet-8"], "/compare/default/vpcId": "vpc-1"}
    stack = Stack(ssm, BootstrapBrokers="/other/brokers", KafkaSubnets="/other/subnets")
    mapping = stack.properties("SeatoolMapping")
    assert mapping["SelfManagedEventSource"]["Endpoints"]["KafkaBootstrapServers"] == ["b:9092"]
    assert mapping["SourceAccessConfigurations"][0]["URI"] == "subnet-7"


def test_the_console_shows_each_parameter_once():
    template = source()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(template["Parameters"])
    assert len({group["Label"]["default"] for group in groups}) == len(groups)


def test_the_guide_has_every_parameter_with_its_default():
    guide = (ROOT / "crates/sinkctl/OPERATIONS.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .+ \|$", guide, re.MULTILINE)
    found = {name: default.strip("`") for name, default in rows}
    for name, parameter in source()["Parameters"].items():
        assert found.get(name) == (str(parameter["Default"]) or "none"), name
