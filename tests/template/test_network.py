"""What the mappings' pollers can reach, and where the functions stand."""

import pytest
from stack import SINKS, Stack, references, source


def test_a_created_group_lets_the_pollers_out_to_what_they_need_only(combination):
    stack = combination.stack
    groups = stack.of_type("AWS::EC2::SecurityGroup")
    ways = stack.of_type("AWS::EC2::SecurityGroupEgress")
    if combination.brings_security_group:
        assert not groups
        assert not ways
        return
    (group,) = groups.values()
    assert group["VpcId"] == "vpc-1"
    assert "SecurityGroupIngress" not in group
    (rule,) = group["SecurityGroupEgress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == ("tcp", "9094", "9094", "0.0.0.0/0")
    # Provisioned pollers call AWS from elsewhere; only bucket or queue are reached through the subnets.
    needs_aws = not combination.is_provisioned or combination.goes_to in ("s3", "sqs")
    assert [(way["FromPort"], way["ToPort"], way["CidrIp"]) for way in ways.values()] == [(443, 443, "0.0.0.0/0")] * needs_aws
    for described in [rule, *ways.values()]:
        assert described["Description"]


def test_the_functions_are_in_a_vpc_where_subnets_are_given(combination):
    expected = {"SubnetIds": ["subnet-8", "subnet-9"], "SecurityGroupIds": ["sg-9"]} if combination.functions_in_vpc else None
    for function in SINKS.values():
        assert combination.stack.properties(function).get("VpcConfig") == expected


def test_the_group_is_deleted_between_the_mappings_and_the_rights_of_their_pollers():
    """CloudFormation deletes a resource after all that need it."""
    resources = source()["Resources"]
    needs = {
        name: {*references(resource), *resource.get("DependsOn", [])} & resources.keys() for name, resource in resources.items()
    }
    # Takes the resources that nothing left needs, again and again; in a circle it would come to a stop.
    deleted = []
    while len(deleted) < len(resources):
        left = resources.keys() - deleted
        free = left - set().union(*(needs[name] for name in left))
        assert free, left
        deleted += sorted(free)
    order = ["AppianMapping", "KafkaSecurityGroup", "SinkAppianDataRole", "SinksPolicy"]
    for earlier, later in zip(order, order[1:]):
        for sink in SINKS:
            earlier_one, later_one = (name.replace("Appian", sink) for name in (earlier, later))
            assert later_one in everything_needed(earlier_one, needs)
            assert deleted.index(earlier_one) < deleted.index(later_one)


def everything_needed(name, needs):
    return needs[name].union(*(everything_needed(needed, needs) for needed in needs[name]))


@pytest.mark.parametrize(
    ("parameters", "vpc", "port", "cidr"),
    [
        ({}, "vpc-1", "9094", "0.0.0.0/0"),
        ({"VpcId": "vpc-2", "BrokerPort": "9096", "BrokerCidr": "10.0.0.0/16"}, "vpc-2", "9096", "10.0.0.0/16"),
    ],
)
def test_a_created_group_follows_its_parameters(parameters, vpc, port, cidr):
    group = Stack(**parameters).properties("KafkaSecurityGroup")
    (rule,) = group["SecurityGroupEgress"]
    assert (group["VpcId"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == (vpc, port, port, cidr)
