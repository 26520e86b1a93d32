"""Moto's server creates the stack, as far as it knows the resources: references, types and policies must make sense to it.

It takes resources apart more strictly than the transform does, but it is no CloudFormation: what it does not support is
listed here and taken out before.
"""

import io
import json
import urllib.request
import zipfile

import boto3
import pytest
from combinations import BY_NAME, THEIR_TABLES
from moto.server import ThreadedMotoServer
from stack import SINKS, SSM, transform, transformed

# What moto's CloudFormation does not know.
UNSUPPORTED_TYPES = {
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::S3::BucketPolicy",
    # Known, but for event sources with an ARN only, which a self-managed cluster has not.
    "AWS::Lambda::EventSourceMapping",
}

# Those that differ most from one another.
NAMES = [
    "on-demand-none-s3",
    "on-demand-BASIC_AUTH-none-brings_tables-functions_in_vpc",
    "provisioned-CLIENT_CERTIFICATE_TLS_AUTH-sqs-brings_security_group",
    "provisioned-IAM_AUTH-kafka",
    "provisioned-none-sqs-brings_tables-functions_in_vpc-brings_failures",
]


@pytest.fixture
def client():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()

    def client(service):
        return boto3.client(
            service,
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    prepare_account(client)
    yield client
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST"))
    server.stop()


def prepare_account(client):
    """What a deployment finds: the parameters in SSM, and the functions' code in a bucket."""
    ec2, ssm, s3 = client("ec2"), client("ssm"), client("s3")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in range(3)]
    brokers = ",".join(SSM["/compare/default/bootstrapBrokers"])
    ssm.put_parameter(Name="/compare/default/bootstrapBrokers", Type="StringList", Value=brokers)
    ssm.put_parameter(Name="/compare/default/kafkaSubnets", Type="StringList", Value=",".join(subnets))
    ssm.put_parameter(Name="/compare/default/vpcId", Type="String", Value=vpc)
    s3.create_bucket(Bucket="code")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("bootstrap", "")
    s3.put_object(Bucket="code", Key="sink.zip", Body=code.getvalue())


def supported(combination):
    """The transformed template without conditions, which moto leaves in lists, and without what moto does not support."""
    assert combination.stack
    template = transform(combination.parameters)
    conditions = conditions_of(combination)
    for section in ("Resources", "Outputs"):
        template[section] = {
            name: chosen({key: member for key, member in entry.items() if key != "Condition"}, conditions)
            for name, entry in template[section].items()
            if conditions.get(entry.get("Condition"), True)
        }
    removed = {name for name, resource in template["Resources"].items() if resource["Type"] in UNSUPPORTED_TYPES}
    for name in removed:
        del template["Resources"][name]
    template["Outputs"] = {
        name: output for name, output in template["Outputs"].items() if not any(it in json.dumps(output["Value"]) for it in removed)
    }
    for section in ("Transform", "Conditions", "Rules"):
        template.pop(section, None)
    return template


def conditions_of(combination):
    template = transformed()
    template.dynamic_references = {"ssm": SSM}
    return template.render(combination.parameters)["Conditions"]


def chosen(value, conditions):
    if isinstance(value, dict):
        if list(value) == ["Fn::If"]:
            condition, if_true, if_false = value["Fn::If"]
            return chosen(if_true if conditions[condition] else if_false, conditions)
        members = {key: chosen(member, conditions) for key, member in value.items()}
        return {key: member for key, member in members.items() if member != {"Ref": "AWS::NoValue"}}
    if isinstance(value, list):
        elements = [chosen(element, conditions) for element in value]
        return [element for element in elements if element != {"Ref": "AWS::NoValue"}]
    return value


@pytest.mark.parametrize("case", [BY_NAME[name] for name in NAMES], ids=str)
def test_moto_creates_the_stack(client, case):
    cloudformation = client("cloudformation")
    template = supported(case)
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in case.parameters.items()]
    stack = {"StackName": str(case).replace("_", "-")}
    cloudformation.create_stack(
        **stack, TemplateBody=json.dumps(template), Parameters=parameters, Capabilities=["CAPABILITY_IAM"]
    )
    (created,) = cloudformation.describe_stacks(**stack)["Stacks"]
    assert created["StackStatus"] == "CREATE_COMPLETE"
    resources = cloudformation.describe_stack_resources(**stack)["StackResources"]
    assert {resource["LogicalResourceId"] for resource in resources} == set(template["Resources"])
    outputs = {output["OutputKey"]: output["OutputValue"] for output in created["Outputs"]}
    assert set(outputs) == set(template["Outputs"])
    check_created(client, case, outputs)


def check_created(client, case, outputs):
    functions = client("lambda")
    for sink in SINKS:
        function = functions.get_function_configuration(FunctionName=f"compare-connector-default-sink{sink}Data")
        assert function["Environment"]["Variables"]["RESPONSE_MODE"] == ("partial" if case.is_provisioned else "batch")
        assert function["Environment"]["Variables"]["QUARANTINE_TABLE_NAME"] == outputs["QuarantineTableName"]
    tables = set(client("dynamodb").list_tables()["TableNames"])
    assert tables == (set() if case.brings_tables else {outputs[f"{table}TableName"] for table in THEIR_TABLES})
