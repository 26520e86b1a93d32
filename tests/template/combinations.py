"""The combinations of what changes the template's shape, and the stack that each makes."""

import functools
import itertools
from dataclasses import dataclass

from stack import DELETING, SINKS, SSM, TWO_SUBNETS, Stack

AUTHENTICATIONS = ["none", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH", "BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH"]
SECRET = "arn:aws:secretsmanager:us-east-1:111122223333:secret:kafka-AbCdEf"
CLUSTER = "arn:aws:kafka:us-east-1:111122223333:cluster/kafka/abcd1234-ab12-cd34-ef56-abcdef123456-1"
ROOT_CA = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ca-AbCdEf"
SECRETS_KEY = "arn:aws:kms:us-east-1:111122223333:key/secrets"
KEY = "arn:aws:kms:us-east-1:111122223333:key/mine"
BUCKET = "arn:aws:s3:::their-failures"
QUEUE = "arn:aws:sqs:us-east-1:111122223333:their-failures"
FAILURES_KEY = "arn:aws:kms:us-east-1:111122223333:key/failures"
TABLE_KEYS = ["arn:aws:kms:us-east-1:111122223333:key/appian", "arn:aws:kms:us-east-1:111122223333:key/seatool"]


# What stands for a table that exists already, by what its name parameter is called after.
OWN_TABLES = [f"{sink}Tombstones" for sink in DELETING] + ["Quarantine"]
THEIR_TABLES = {table: f"their-{table.lower()}" for table in [*SINKS, *OWN_TABLES]}


def table_arn(table, combination):
    """The ARN of a table, which is derived from its name if it exists already."""
    name = THEIR_TABLES[table]
    return f"arn:aws:dynamodb:us-east-1:555555555555:table/{name}" if combination.brings_tables else f"{table}Table.Arn"


@dataclass(frozen=True)
class Combination:
    poller_mode: str
    authentication: str
    on_failure: str
    # Whether the tables exist already, with keys of their own, as does the key of all the rest.
    brings_tables: bool
    # Whether the mappings' security group exists already, and there are two subnets rather than three.
    brings_security_group: bool
    functions_in_vpc: bool
    # Whether the bucket or queue for failures exists already, with a key of its own.
    brings_failures: bool = False
    is_traced: bool = False

    @property
    def is_provisioned(self):
        return self.poller_mode == "provisioned"

    @property
    def goes_to(self):
        """What gets the batches that Lambda gives up."""
        return {"auto": "s3" if self.is_provisioned else "none"}.get(self.on_failure, self.on_failure)

    @property
    def destination(self):
        """What is created to get them."""
        return self.goes_to if self.goes_to in ("s3", "sqs") and not self.brings_failures else "none"

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
            "OnFailureDestination": self.on_failure,
        }
        if self.authentication == "IAM_AUTH":
            parameters |= {"ClusterArn": CLUSTER}
        elif self.authentication != "none":
            parameters |= {"AuthenticationSecretArn": SECRET, "SecretsKeyArn": SECRETS_KEY}
        if self.has_root_ca:
            parameters |= {"RootCaSecretArn": ROOT_CA}
        if self.brings_tables:
            parameters |= {f"{table}TableName": name for table, name in THEIR_TABLES.items()}
            parameters |= {"TableKeyArns": ",".join(TABLE_KEYS), "KeyArn": KEY}
        if self.goes_to == "kafka":
            parameters |= {"FailuresTopic": "failures"}
        if self.brings_failures:
            parameters |= {"FailuresKeyArn": FAILURES_KEY}
            parameters |= {"FailuresQueueArn": QUEUE} if self.goes_to == "sqs" else {"FailuresBucketArn": BUCKET}
        if self.brings_security_group:
            parameters |= {"KafkaSecurityGroupId": "sg-1"}
        if self.functions_in_vpc:
            parameters |= {"FunctionSubnetIds": "subnet-8,subnet-9", "FunctionSecurityGroupIds": "sg-9"}
        if self.is_traced:
            parameters |= {"Tracing": "Active"}
        return parameters

    @property
    def stack(self):
        return stack_of(self)

    def __str__(self):
        names = ("brings_tables", "brings_security_group", "functions_in_vpc", "brings_failures", "is_traced")
        flags = [name for name in names if getattr(self, name)]
        return "-".join([self.poller_mode, self.authentication, self.on_failure, *flags])


@functools.cache
def stack_of(combination):
    ssm = TWO_SUBNETS if combination.brings_security_group else SSM
    return Stack(ssm, **combination.parameters)


EVERY = [
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
# Each value of what else changes the shape, with each of what it depends on.
CHOSEN = [
    Combination("on-demand", "none", "auto", False, False, False),
    Combination("provisioned", "none", "auto", False, False, False, is_traced=True),
    Combination("on-demand", "SASL_SCRAM_512_AUTH", "auto", True, True, True, is_traced=True),
    Combination("provisioned", "BASIC_AUTH", "auto", True, True, True, brings_failures=True),
    Combination("on-demand", "none", "auto", False, False, False, brings_failures=True),
    Combination("on-demand", "none", "s3", False, False, False, brings_failures=True),
    Combination("on-demand", "none", "sqs", False, False, False, brings_failures=True),
    Combination("provisioned", "none", "sqs", True, False, True, brings_failures=True),
    Combination("provisioned", "none", "kafka", False, False, False),
    Combination("provisioned", "SASL_SCRAM_512_AUTH", "kafka", True, True, True),
    Combination("on-demand", "IAM_AUTH", "auto", False, False, False),
    Combination("provisioned", "IAM_AUTH", "auto", True, True, True),
    Combination("provisioned", "IAM_AUTH", "kafka", False, False, False),
]
ALL = EVERY + CHOSEN
BY_NAME = {str(combination): combination for combination in ALL}
