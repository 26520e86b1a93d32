"""The event source mappings, property by property, and that the functions answer as the mappings expect."""

import pytest
from combinations import BUCKET, QUEUE, ROOT_CA, SECRET
from stack import BATCHES, SINKS, SSM, TOPICS, Stack, references, source


def expected_mapping(sink, combination):
    function = SINKS[sink]
    batch_size, window = BATCHES[sink]
    access = [("VPC_SUBNET", subnet) for subnet in combination.subnets]
    group = "sg-1" if combination.brings_security_group else "KafkaSecurityGroup.GroupId"
    access.append(("VPC_SECURITY_GROUP", f"security_group:{group}"))
    if combination.authentication == "IAM_AUTH":
        access.append(("IAM_AUTH",))
    elif combination.authentication != "none":
        access.append((combination.authentication, SECRET))
    if combination.has_root_ca:
        access.append(("SERVER_ROOT_CA_CERTIFICATE", ROOT_CA))
    mapping = {
        "FunctionName": f"{function}.Arn",
        "Enabled": "true",
        "SelfManagedEventSource": {"Endpoints": {"KafkaBootstrapServers": SSM["/compare/default/bootstrapBrokers"]}},
        "SourceAccessConfigurations": [dict(zip(("Type", "URI"), entry)) for entry in access],
        "Topics": [TOPICS[sink]],
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"esm.compare-connector-default-sink{sink}Data"},
        "StartingPosition": "LATEST",
        "BatchSize": batch_size,
        "MaximumBatchingWindowInSeconds": window,
    }
    destinations = {"s3": "FailuresBucket.Arn", "sqs": "FailuresQueue.Arn", "kafka": "kafka://failures"}
    if combination.brings_failures:
        destinations |= {"s3": BUCKET, "sqs": QUEUE}
    destination = destinations.get(combination.goes_to)
    if destination:
        mapping["DestinationConfig"] = {"OnFailure": {"Destination": destination}}
    if combination.is_provisioned:
        mapping |= {
            "ProvisionedPollerConfig": {
                "MinimumPollers": "1",
                "MaximumPollers": "4",
                "PollerGroupName": "compare-connector-default",
            },
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": "10000",
            "MaximumRecordAgeInSeconds": "-1",
            "MetricsConfig": {"Metrics": ["EventCount", "ErrorCount", "KafkaMetrics"]},
            "LoggingConfig": {"SystemLogLevel": "WARN"},
        }
    return mapping


def test_a_mapping_has_exactly_these_properties(combination):
    mappings = combination.stack.of_type("AWS::Lambda::EventSourceMapping")
    assert mappings == {f"{sink}Mapping": expected_mapping(sink, combination) for sink in SINKS}


def test_the_function_names_failed_records_exactly_where_the_mapping_reads_them(combination):
    for sink in SINKS:
        mode = combination.stack.variables(sink)["RESPONSE_MODE"]
        types = combination.stack.properties(f"{sink}Mapping").get("FunctionResponseTypes")
        assert (mode, types) in [("partial", ["ReportBatchItemFailures"]), ("batch", None)]
        assert (mode == "partial") == combination.is_provisioned


def test_the_function_accepts_the_topic_of_its_mapping():
    stack = Stack(TopicNamespace="alice.", **{f"{sink}Topic": f"topic-of-{sink}" for sink in SINKS})
    for sink in SINKS:
        assert stack.properties(f"{sink}Mapping")["Topics"] == [f"alice.topic-of-{sink}"]
        assert stack.variables(sink)["KAFKA_TOPIC"] == f"alice.topic-of-{sink}"


@pytest.mark.parametrize("sink", SINKS)
def test_a_mapping_follows_its_own_parameters(sink):
    changes = {
        "Enabled": "false",
        "ConsumerGroupId": "a-group",
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": "1700000000",
        "BatchSize": "7",
        "BatchingWindow": "9",
    }
    stack = Stack(**{f"{sink}{name}": value for name, value in changes.items()})
    mapping = stack.properties(f"{sink}Mapping")
    assert mapping["Enabled"] == "false"
    assert mapping["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"] == "a-group"
    assert (mapping["StartingPosition"], mapping["StartingPositionTimestamp"]) == ("AT_TIMESTAMP", "1700000000")
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == ("7", "9")
    for other in SINKS.keys() - {sink}:
        assert stack.properties(f"{other}Mapping") == Stack().properties(f"{other}Mapping")


@pytest.mark.parametrize(("poller_mode", "destination"), [("on-demand", None), ("provisioned", "FailuresBucket.Arn")])
def test_by_default_a_batch_goes_elsewhere_only_where_retries_have_an_end(poller_mode, destination):
    for mapping in Stack(PollerMode=poller_mode).of_type("AWS::Lambda::EventSourceMapping").values():
        assert mapping.get("DestinationConfig") == (destination and {"OnFailure": {"Destination": destination}})
        assert mapping.get("MaximumRetryAttempts", "-1") == ("10000" if destination else "-1")


def test_mappings_may_share_the_group_of_a_private_stage_whose_topics_have_no_prefix():
    group = "--compare--alice--esm.compare-connector-alice"
    stack = Stack(Prefix="compare-sinks", Stage="alice", **{f"{sink}ConsumerGroupId": group for sink in SINKS})
    for sink in SINKS:
        mapping = stack.properties(f"{sink}Mapping")
        assert mapping["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": group}
        assert mapping["Topics"] == [TOPICS[sink]]


@pytest.mark.parametrize("sink", SINKS)
def test_an_absent_mapping_comes_back_with_its_group(sink):
    before, absent = Stack(), Stack(**{f"{sink}Enabled": "absent"})
    gone = before.resources.keys() - absent.resources.keys()
    assert {logical_id for logical_id in gone if not logical_id.endswith("Alarm")} == {f"{sink}Mapping"}
    assert before.outputs.keys() - absent.outputs.keys() == {f"{sink}MappingId"}
    # What names the group outlives the mapping, and a name that CloudFormation makes up is not in it.
    template = source()
    mapping = template["Resources"][f"{sink}Mapping"]["Properties"]
    assert set(references(mapping["SelfManagedKafkaEventSourceConfig"])) <= template["Parameters"].keys()


def test_provisioned_mode_follows_its_parameters():
    stack = Stack(
        PollerMode="provisioned",
        MinimumPollers="2",
        MaximumPollers="6",
        MaximumRetryAttempts="5",
        MaximumRecordAge="3600",
    )
    for sink in SINKS:
        mapping = stack.properties(f"{sink}Mapping")
        pollers = mapping["ProvisionedPollerConfig"]
        assert (pollers["MinimumPollers"], pollers["MaximumPollers"]) == ("2", "6")
        assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == ("5", "3600")


def test_each_mapping_of_each_stage_has_a_group_of_its_own():
    stacks = [Stack(Stage=stage) for stage in ("master", "val", "production")]
    groups = [
        stack.properties(f"{sink}Mapping")["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
        for stack in stacks
        for sink in SINKS
    ]
    assert len(set(groups)) == 3 * len(SINKS)
    assert all(group.startswith("esm.compare-connector-") for group in groups)
