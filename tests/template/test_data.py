"""Tables, destination and key: what outlives a deployment."""

import pytest
from combinations import OWN_TABLES, table_arn
from stack import DELETING, SINKS, Stack

KEYS = [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}]


def test_tables_are_protected_wherever_they_are_created(combination):
    stack = combination.stack
    tables = stack.of_type("AWS::DynamoDB::Table")
    own = {f"{table}Table" for table in OWN_TABLES}
    assert set(tables) == (set() if combination.brings_tables else own | {f"{sink}Table" for sink in SINKS})
    for logical_id, table in tables.items():
        assert table["KeySchema"] == KEYS
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["SSESpecification"] == {
            "SSEEnabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": key(combination),
        }
        stream = {"StreamViewType": "NEW_AND_OLD_IMAGES"} if logical_id not in own else None
        assert table.get("StreamSpecification") == stream
        ttl = {"AttributeName": "expiresAt", "Enabled": True} if logical_id in own else None
        assert table.get("TimeToLiveSpecification") == ttl
        assert is_retained(stack, logical_id)


def test_the_destination_keeps_what_failed(combination):
    stack = combination.stack
    buckets, queues = stack.of_type("AWS::S3::Bucket"), stack.of_type("AWS::SQS::Queue")
    assert set(buckets) == ({"FailuresBucket"} if combination.destination == "s3" else set())
    assert set(queues) == ({"FailuresQueue"} if combination.destination == "sqs" else set())
    assert set(stack.of_type("AWS::S3::BucketPolicy")) == ({"FailuresBucketPolicy"} if buckets else set())
    for bucket in buckets.values():
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": key(combination),
        }
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        (statement,) = stack.properties("FailuresBucketPolicy")["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
        assert statement["Resource"] == ["FailuresBucket.Arn", "FailuresBucket.Arn/*"]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for queue in queues.values():
        assert (queue["KmsMasterKeyId"], queue["MessageRetentionPeriod"]) == (key(combination), 1209600)
    for logical_id in [*buckets, *queues]:
        assert is_retained(stack, logical_id)


@pytest.mark.parametrize(("days", "status", "expiration"), [("90", "Enabled", "90"), ("unlimited", "Disabled", 1)])
def test_failed_batches_expire_with_the_quarantine(days, status, expiration):
    parameters = {"OnFailureDestination": "s3", "QuarantineRetentionDays": days, "TombstoneRetentionDays": "unlimited"}
    bucket = Stack(**parameters).properties("FailuresBucket")
    expire, clean_up = bucket["LifecycleConfiguration"]["Rules"]
    assert (expire["Status"], expire["ExpirationInDays"]) == (status, expiration)
    assert (clean_up["Status"], clean_up["NoncurrentVersionExpiration"]) == ("Enabled", {"NoncurrentDays": 7})


def test_the_key_is_created_unless_it_is_brought(combination):
    stack = combination.stack
    assert set(stack.of_type("AWS::KMS::Key")) == (set() if combination.brings_tables else {"Key"})
    assert set(stack.of_type("AWS::KMS::Alias")) == (set() if combination.brings_tables else {"KeyAlias"})
    for function in SINKS.values():
        assert stack.properties(f"{function.removesuffix('Function')}LogGroup")["KmsKeyId"] == key(combination)
    if not combination.brings_tables:
        assert is_retained(stack, "Key")
        assert stack.properties("Key")["EnableKeyRotation"] is True
        services = [statement["Principal"].get("Service") for statement in stack.properties("Key")["KeyPolicy"]["Statement"]]
        assert services == [None, "logs.us-east-1.amazonaws.com"]


def test_outputs_name_what_the_next_stack_needs(combination):
    outputs = {name: output["Value"] for name, output in combination.stack.outputs.items()}
    for sink in SINKS:
        variables = combination.stack.variables(sink)
        assert outputs[f"{sink}TableName"] == variables["TABLE_NAME"]
        assert outputs[f"{sink}TableArn"] == table_arn(sink, combination)
        assert outputs.get(f"{sink}TableStreamArn") == (None if combination.brings_tables else f"{sink}Table.StreamArn")
        assert outputs[f"{sink}MappingId"] == f"{sink}Mapping"
        assert outputs["QuarantineTableName"] == variables["QUARANTINE_TABLE_NAME"]
    for sink in DELETING:
        assert outputs[f"{sink}TombstonesTableName"] == combination.stack.variables(sink)["TOMBSTONE_TABLE_NAME"]
    assert outputs["KeyArn"] == key(combination)
    own_group = None if combination.brings_security_group else "KafkaSecurityGroup.GroupId"
    assert outputs.get("KafkaSecurityGroupId") == own_group
    assert outputs.get("FailuresBucketName") == ("FailuresBucket" if combination.destination == "s3" else None)
    assert outputs.get("FailuresQueueUrl") == ("FailuresQueue" if combination.destination == "sqs" else None)


def key(combination):
    return combination.parameters.get("KeyArn", "Key.Arn")


def is_retained(stack, logical_id):
    resource = stack.resources[logical_id]
    # A stack whose creation failed can be created again: nothing stands in its way, and nothing was in there.
    return (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
