"""Expands `template.yaml` as CloudFormation would: the Serverless transform first, then parameters and conditions."""

import functools
import json
import re
import tomllib
from pathlib import Path

import boto3
import yaml
from cloud_radar.cf.unit import Template
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]

# What the account holds in SSM: the template reads these names by default.
SSM = {
    "/compare/default/bootstrapBrokers": ["b-1.example.com:9094", "b-2.example.com:9094", "b-3.example.com:9094"],
    "/compare/default/kafkaSubnets": ["subnet-1", "subnet-2", "subnet-3"],
    "/compare/default/vpcId": "vpc-1",
}
TWO_SUBNETS = SSM | {"/compare/default/kafkaSubnets": ["subnet-1", "subnet-2"]}

# Cloud Radar reads the template's text again for each stack; the loader in C does it ten times as fast.
yaml.FullLoader = yaml.CFullLoader

# Cloud Radar's own value is the empty string, which properties may hold.
NO_VALUE = "the property is absent"
Template.NoValue = NO_VALUE

def source():
    """The template as it is written."""
    return yaml_parse((ROOT / "template.yaml").read_text())


def sinks():
    """What the template calls each sink, with its function's logical id."""
    resources = source()["Resources"]
    functions = [name for name, it in resources.items() if it["Type"] == "AWS::Serverless::Function"]
    return {re.fullmatch("Sink(.+)DataFunction", name)[1]: name for name in functions}


SINKS = sinks()

# What the template and the functions have agreed on, and what makes each sink different.
CONTRACT = json.loads((ROOT / "tests/template/contract.json").read_text())
TOPICS, BATCHES, ORDERS, OWN_VARIABLES = (
    {sink: CONTRACT["sinks"][f"sink{sink}Data"][key] for sink in SINKS} for key in ("topic", "batch", "order", "ownVariables")
)
VARIABLES = {sink: CONTRACT["variables"] + own for sink, own in OWN_VARIABLES.items()}
# The sinks whose records can delete their items, and those whose records are ordered by their offsets.
DELETING = [sink for sink in SINKS if "TOMBSTONE_TABLE_NAME" in VARIABLES[sink]]
BY_OFFSET = [sink for sink in SINKS if ORDERS[sink] == "Offset"]


def transform(parameters):
    """What the Serverless transform makes of the template, with its functions' code in a bucket as `sam deploy` puts it."""
    template = source()
    template["Globals"]["Function"]["CodeUri"] = "s3://code/sink.zip"
    # CloudFormation's parameters are texts, whatever their type.
    for parameter in template["Parameters"].values():
        if "Default" in parameter:
            parameter["Default"] = str(parameter["Default"])
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    return translator.translate(template, parameter_values=dict(parameters))


@functools.cache
def transformed():
    """The transform's result for the defaults, which a test holds equal to those for other parameters."""
    return Template(transform({}))


class Stack:
    """The resources and outputs that a deployment with `parameters` has."""

    def __init__(self, ssm=SSM, **parameters):
        template = transformed()
        template.dynamic_references = {"ssm": ssm}
        rendered = template.render(parameters)
        check_rules(template)
        self.resources = without_absent(rendered["Resources"])
        self.outputs = without_absent(rendered["Outputs"])

    def of_type(self, resource_type):
        """The resources of a type, by their logical ids."""
        return {
            logical_id: resource["Properties"]
            for logical_id, resource in self.resources.items()
            if resource["Type"] == resource_type
        }

    def properties(self, logical_id):
        return self.resources[logical_id]["Properties"]

    def variables(self, sink):
        """The environment variables of a sink's function."""
        return self.properties(SINKS[sink])["Environment"]["Variables"]


def contains(_template, values):
    """`Fn::Contains`, which stands in rules only and Cloud Radar does not know."""
    texts, text = values
    return text in texts


class RuleBroken(Exception):
    """CloudFormation would refuse these parameters."""


def check_rules(template):
    template.allowed_functions["Fn::Contains"] = contains
    for name, rule in template.template["Rules"].items():
        if template.resolve_values(rule.get("RuleCondition", True)):
            for assertion in rule["Assertions"]:
                if not template.resolve_values(assertion["Assert"]):
                    raise RuleBroken(f"{name}: {assertion['AssertDescription']}")


def without_absent(value):
    """Leaves out what `AWS::NoValue` stands for, also in lists."""
    if isinstance(value, dict):
        return {key: without_absent(member) for key, member in value.items() if member != NO_VALUE}
    if isinstance(value, list):
        return [without_absent(element) for element in value if element != NO_VALUE]
    return value


def references(value):
    """The parameters and resources that a value refers to."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "Ref":
                yield member
            elif key == "Fn::GetAtt":
                yield member[0]
            else:
                if key == "Fn::Sub":
                    text = member if isinstance(member, str) else member[0]
                    own = {} if isinstance(member, str) else member[1]
                    names = {name.split(".")[0] for name in re.findall(r"\$\{([A-Za-z][\w.]*)\}", text)}
                    yield from names - own.keys()
                yield from references(member)
    elif isinstance(value, list):
        for element in value:
            yield from references(element)


def samconfig():
    """The sections of `samconfig.toml`, by stage."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    del config["version"]
    return config


def commented_samconfig():
    """The sections of the stage in `samconfig.toml` that waits as a comment for someone to copy it."""
    text = (ROOT / "samconfig.toml").read_text()
    return tomllib.loads(re.sub("^# ?", "", text[text.index("\n# [") :], flags=re.MULTILINE))


def stages(config=None):
    """The parameters that each stage is given."""
    return {
        stage: dict(override.split("=", 1) for override in sections["global"]["parameters"]["parameter_overrides"])
        for stage, sections in (config or samconfig()).items()
    }
