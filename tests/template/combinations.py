"""Every combination of what changes the template's shape, and the stack that each makes."""

import functools
import itertools
from dataclasses import dataclass

from stack import SSM, TWO_SUBNETS, Stack

AUTHENTICATIONS = ["none", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH", "BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH"]
SECRET = "arn:aws:secretsmanager:us-east-1:111122223333:secret:kafka-AbCdEf"
ROOT_CA = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ca-AbCdEf"
SECRETS_KEY = "arn:aws:kms:us-east-1:111122223333:key/secrets"
KEY = "arn:aws:kms:us-east-1:111122223333:key/mine"
TABLE_KEYS = ["arn:aws:kms:us-east-1:111122223333:key/appian", "arn:aws:kms:us-east-1:111122223333:key/seatool"]


def table_arn(name):
    return f"arn:aws:dynamodb:us-east-1:111122223333:table/{name}"


@dataclass(frozen=True)
class Combination:
    poller_mode: str
    authentication: str
    destination: str
    # Whether the items' tables exist already, with keys of their own, as does the key of all the rest.
    brings_tables: bool
    # Whether the mappings' security group exists already, and there are two subnets rather than three.
    brings_security_group: bool
    functions_in_vpc: bool

    @property
    def is_provisioned(self):
        return self.poller_mode == "provisioned"

    # A private CA goes with every second way to log in, so that both are seen with and without the other.
    @property
    def has_root_ca(self):
        return self.authentication in ("SASL_SCRAM_512_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH") or (
            self.authentication == "none" and self.functions_in_vpc
        )

    @property
    def subnets(self):
        return ["subnet-1", "subnet-2"] if self.brings_security_group else ["subnet-1", "subnet-2", "subnet-3"]

    @property
    def parameters(self):
        parameters = {
            "PollerMode": self.poller_mode,
            "Authentication": self.authentication,
            "OnFailureDestination": self.destination,
        }
        if self.authentication != "none":
            parameters |= {"AuthenticationSecretArn": SECRET, "SecretsKeyArn": SECRETS_KEY}
        if self.has_root_ca:
            parameters |= {"RootCaSecretArn": ROOT_CA}
        if self.brings_tables:
            parameters |= {
                "AppianTableName": "their-appian",
                "AppianTableArn": table_arn("their-appian"),
                "SeatoolTableName": "their-seatool",
                "SeatoolTableArn": table_arn("their-seatool"),
                "TableKeyArns": ",".join(TABLE_KEYS),
                "KeyArn": KEY,
            }
        if self.brings_security_group:
            parameters |= {"KafkaSecurityGroupId": "sg-1"}
        if self.functions_in_vpc:
            parameters |= {"FunctionSubnetIds": "subnet-8,subnet-9", "FunctionSecurityGroupIds": "sg-9"}
        return parameters

    @property
    def stack(self):
        return stack_of(self)

    def __str__(self):
        flags = [name for name in ("brings_tables", "brings_security_group", "functions_in_vpc") if getattr(self, name)]
        return "-".join([self.poller_mode, self.authentication, self.destination, *flags])


@functools.cache
def stack_of(combination):
    ssm = TWO_SUBNETS if combination.brings_security_group else SSM
    return Stack(ssm, **combination.parameters)


ALL = [
    Combination(*values)
    for values in itertools.product(
        ["on-demand", "provisioned"],
        AUTHENTICATIONS,
        ["s3", "sqs", "none"],
        [False, True],
        [False, True],
        [False, True],
    )
]
BY_NAME = {str(combination): combination for combination in ALL}
