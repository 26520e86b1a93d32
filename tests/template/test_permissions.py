"""Each permission of each function: what is not listed here is not granted."""

from collections import defaultdict

from combinations import BUCKET, CLUSTER, FAILURES_KEY, KEY, QUEUE, ROOT_CA, SECRET, SECRETS_KEY, TABLE_KEYS, table_arn
from stack import DELETING, SINKS, TOPICS, Stack, transform

ITEM_ACTIONS = {"dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:PartiQLUpdate", "dynamodb:PutItem"}
# Where records delete, a new item is put, in a transaction that checks its tombstone.
INSERTING_ACTIONS = {"dynamodb:PartiQLInsert"}
DELETING_ACTIONS = {"dynamodb:DeleteItem", "dynamodb:PartiQLDelete"}
TOMBSTONE_ACTIONS = {
    "dynamodb:BatchGetItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
}
POLLER_ACTIONS = {
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
}
FUNCTION_ARN = "arn:aws:lambda:us-east-1:555555555555:function:compare-connector-default-sink{sink}Data"
TABLE_KEY_ACTIONS = {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"}

OWN_ACCOUNT = (("StringEquals", (("s3:ResourceAccount", "555555555555"),)),)


def through(service):
    """The condition that a key is used by a service only."""
    return (("StringEquals", (("kms:ViaService", f"{service}.us-east-1.amazonaws.com"),)),)


def is_denial(statement):
    """Calls of the functions' code carry the condition's key, those of the pollers do not."""
    denied = statement.get("Condition", {}).get("ArnEquals", {}).get("lambda:SourceFunctionArn", [])
    return statement == {
        "Effect": "Deny",
        "Action": sorted(POLLER_ACTIONS),
        "Resource": "*",
        "Condition": {"ArnEquals": {"lambda:SourceFunctionArn": denied}},
    } and sorted(denied) == sorted(FUNCTION_ARN.format(sink=sink) for sink in SINKS)


def expected_grants(sink, combination):
    """Resource and condition, to actions."""
    grants = defaultdict(set)
    grants[table_arn(sink, combination), ()] |= ITEM_ACTIONS
    grants[table_arn(sink, combination), ()] |= DELETING_ACTIONS if sink in DELETING else INSERTING_ACTIONS
    if sink in DELETING:
        grants[table_arn(f"{sink}Tombstones", combination), ()] |= TOMBSTONE_ACTIONS | {"dynamodb:DescribeTable"}
    grants[table_arn("Quarantine", combination), ()] |= {"dynamodb:UpdateItem", "dynamodb:DescribeTable"}
    grants[f"{SINKS[sink].removesuffix('Function')}LogGroup.Arn", ()] |= {"logs:CreateLogStream", "logs:PutLogEvents"}
    grants["*", ()] |= POLLER_ACTIONS
    if combination.is_traced:
        grants["*", ()] |= {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}

    key = KEY if combination.brings_tables else "Key.Arn"
    grants[key, through("dynamodb")] |= TABLE_KEY_ACTIONS
    if combination.brings_tables:
        for table_key in TABLE_KEYS:
            grants[table_key, through("dynamodb")] |= TABLE_KEY_ACTIONS
    if combination.authentication == "IAM_AUTH":
        grants |= expected_kafka_grants(sink, combination.goes_to == "kafka")
    elif combination.authentication != "none":
        grants[SECRET, ()] |= {"secretsmanager:GetSecretValue"}
        grants[SECRETS_KEY, through("secretsmanager")] |= {"kms:Decrypt"}
    if combination.has_root_ca:
        grants[ROOT_CA, ()] |= {"secretsmanager:GetSecretValue"}
    brings = combination.brings_failures
    failures_key = FAILURES_KEY if brings else key
    if combination.goes_to == "s3":
        bucket = BUCKET if brings else "FailuresBucket.Arn"
        for resource in (bucket, f"{bucket}/*"):
            grants[resource, OWN_ACCOUNT] |= {"s3:ListBucket", "s3:PutObject"}
        grants[failures_key, through("s3")] |= {"kms:GenerateDataKey"}
    if combination.goes_to == "sqs":
        grants[QUEUE if brings else "FailuresQueue.Arn", ()] |= {"sqs:SendMessage"}
        grants[failures_key, through("sqs")] |= {"kms:Decrypt", "kms:GenerateDataKey"}
    return dict(grants)


def expected_kafka_grants(sink, writes):
    connect = {"kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"}
    topic, group = (CLUSTER.replace(":cluster/", f":{kind}/") for kind in ("topic", "group"))
    grants = {(CLUSTER, ()): connect}
    grants[f"{topic}/{TOPICS[sink]}", ()] = {"kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"}
    its_group = f"{group}/esm.compare-connector-default-sink{sink}Data"
    grants[its_group, ()] = {"kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"}
    if writes:
        grants[f"{topic}/failures", ()] = {"kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"}
    return grants


def grants(stack, sink):
    role = stack.properties(f"{SINKS[sink].removesuffix('Function')}Role")
    assert role["ManagedPolicyArns"] == ["SinksPolicy"]
    documents = [policy["PolicyDocument"] for policy in role["Policies"]]
    documents.append(stack.properties("SinksPolicy")["PolicyDocument"])
    found = defaultdict(set)
    for statement in (statement for document in documents for statement in document["Statement"]):
        assert statement.keys() <= {"Effect", "Action", "Resource", "Condition"}
        if is_denial(statement):
            continue
        assert statement["Effect"] == "Allow"
        condition = tuple((test, tuple(pairs.items())) for test, pairs in statement.get("Condition", {}).items())
        for resource in as_list(statement["Resource"]):
            found[resource, condition] |= set(as_list(statement["Action"]))
    return dict(found)


def as_list(value):
    return value if isinstance(value, list) else [value]


def test_a_function_may_do_exactly_this(combination):
    for sink in SINKS:
        assert grants(combination.stack, sink) == expected_grants(sink, combination)


def test_the_code_may_not_do_what_only_the_pollers_need(combination):
    statements = combination.stack.properties("SinksPolicy")["PolicyDocument"]["Statement"]
    assert len([statement for statement in statements if is_denial(statement)]) == 1


def test_iam_reads_the_topic_and_group_that_the_mapping_reads():
    parameters = {"TopicNamespace": "alice.", "Authentication": "IAM_AUTH", "ClusterArn": CLUSTER}
    parameters |= {f"{sink}Topic": f"topic-of-{sink}" for sink in SINKS}
    parameters |= {f"{sink}ConsumerGroupId": f"group-of-{sink}" for sink in SINKS}
    topic, group = (CLUSTER.replace(":cluster/", f":{kind}/") for kind in ("topic", "group"))
    for sink in SINKS:
        resources = {resource for resource, _ in grants(Stack(**parameters), sink) if ":kafka:" in resource}
        assert resources == {CLUSTER, f"{topic}/alice.topic-of-{sink}", f"{group}/group-of-{sink}"}


def test_a_function_runs_with_its_own_role():
    stack = Stack(RolePath="/delegated/", PermissionsBoundaryArn="arn:aws:iam::111122223333:policy/boundary")
    for function in SINKS.values():
        role_id = f"{function.removesuffix('Function')}Role"
        assert stack.properties(function)["Role"] == f"{role_id}.Arn"
        role = stack.properties(role_id)
        assert (role["Path"], role["PermissionsBoundary"]) == (
            "/delegated/",
            "arn:aws:iam::111122223333:policy/boundary",
        )
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust == {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    assert stack.properties("SinksPolicy")["Path"] == "/delegated/"
    assert len(stack.of_type("AWS::IAM::Role")) == len(SINKS)


def test_a_boundary_is_absent_unless_given():
    for role in Stack().of_type("AWS::IAM::Role").values():
        assert "PermissionsBoundary" not in role
        assert role["Path"] == "/"


def test_nobody_is_let_in_to_invoke_the_functions():
    """Event source mappings need no such resource, so whoever else may invoke them is allowed to by the account."""
    openings = {"AWS::Lambda::Permission", "AWS::Lambda::Url", "AWS::Lambda::LayerVersionPermission"}
    types = {resource["Type"] for resource in transform({})["Resources"].values()}
    assert not openings & types
