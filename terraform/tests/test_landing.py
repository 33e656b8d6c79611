"""The landing bucket, and the function that fetches exchange rates, applied: asked of AWS, not Terraform."""

import json
from typing import Any

import pytest

from terraform.tests.conftest import Deployed
from terraform.tests.emulator import ACCOUNT, REGION

ROLES = f"arn:aws:iam::{ACCOUNT}:role/totes-dev"
CARRIER = f"arn:aws:iam::{ACCOUNT}:role/carrier"
FUNCTION = "totes-dev-exchange-rates"


@pytest.fixture
def bucket(deployed: Deployed) -> str:
    name: str = deployed.outputs["landing_bucket"]
    return name


class TestBucket:
    def test_it_is_private_versioned_and_encrypted_by_a_key_of_its_own(
        self, bucket: str, deployed: Deployed, ask: Any
    ) -> None:
        blocked = ask("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
        owned = ask("s3").get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        assert owned == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert ask("s3").get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        keys = {name: key_of(name, ask) for name in (bucket, *deployed.outputs["lake"].values())}
        assert keys.pop(bucket) == deployed.outputs["landing_kms_key_arn"]
        assert deployed.outputs["landing_kms_key_arn"] not in keys.values()

    def test_files_expire_after_ninety_days(self, bucket: str, ask: Any) -> None:
        (rule,) = ask("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert rule["Expiration"]["Days"] == 90
        assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30

    def test_a_sender_puts_files_into_its_own_folder_and_reads_none(self, bucket: str, ask: Any) -> None:
        policy = json.loads(ask("s3").get_bucket_policy(Bucket=bucket)["Policy"])
        allowed = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]
        assert [(one["Principal"], one["Resource"]) for one in allowed] == [
            ({"AWS": CARRIER}, f"arn:aws:s3:::{bucket}/shipment/*")
        ]
        assert set(allowed[0]["Action"]) == {"s3:PutObject", "s3:AbortMultipartUpload"}
        (elsewhere,) = [statement for statement in policy["Statement"] if "NotResource" in statement]
        assert elsewhere["Effect"] == "Deny"
        assert elsewhere["NotResource"] == f"arn:aws:s3:::{bucket}/shipment/*"
        assert elsewhere["Condition"] == {"ArnEquals": {"aws:PrincipalArn": CARRIER}}

    def test_a_sender_may_use_its_key_for_this_bucket_alone(self, bucket: str, deployed: Deployed, ask: Any) -> None:
        key = deployed.outputs["landing_kms_key_arn"].rpartition("/")[2]
        policy = json.loads(ask("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        (senders,) = [one for one in policy["Statement"] if one["Sid"] == "Senders"]
        assert senders["Principal"] == {"AWS": CARRIER}
        assert senders["Condition"]["StringEquals"] == {
            "kms:ViaService": f"s3.{REGION}.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}",
        }

    def test_of_all_roles_one_may_put_and_those_that_take_files_may_list_and_get(self, bucket: str, ask: Any) -> None:
        may: dict[str, set[str]] = {}
        for role in ask("iam").list_roles(PathPrefix="/totes-dev/")["Roles"]:
            for statement in granted(role["RoleName"], ask):
                for resource in listed(statement["Resource"]):
                    if resource.startswith(f"arn:aws:s3:::{bucket}"):
                        actions = {f"{action} {resource.partition('/')[2]}" for action in listed(statement["Action"])}
                        may.setdefault(role["RoleName"].removeprefix("totes-dev-"), set()).update(actions)
        reads = {"s3:ListBucket ", "s3:GetObject *"}
        assert may == {"code-server": reads, "run": reads, "exchange-rates": {"s3:PutObject exchange_rate/*"}}

    def test_the_network_lets_it_be_reached(self, bucket: str, deployed: Deployed, ask: Any) -> None:
        (endpoint,) = ask("ec2").describe_vpc_endpoints(
            Filters=[{"Name": "service-name", "Values": [f"com.amazonaws.{REGION}.s3"]}]
        )["VpcEndpoints"]
        reached = next(
            statement
            for statement in json.loads(endpoint["PolicyDocument"])["Statement"]
            if statement["Sid"] == "BucketsOfThisAccount"
        )
        assert {"s3:ListBucket", "s3:GetObject"} <= set(reached["Action"])
        assert reached["Resource"] == "*"
        assert reached["Condition"]["StringEquals"]["aws:ResourceAccount"] == ACCOUNT
        assert ACCOUNT in bucket

    @pytest.mark.parametrize("task", ["code-server", "run"])
    def test_the_platform_knows_it(self, task: str, bucket: str, deployed: Deployed, ask: Any) -> None:
        found = ask("ecs").describe_task_definition(taskDefinition=f"totes-dev-{task}")["taskDefinition"]
        environment = {entry["name"]: entry["value"] for entry in found["containerDefinitions"][0]["environment"]}
        assert environment["TOTES_LANDING"] == f"s3://{bucket}"


class TestFunction:
    def test_it_is_in_no_network_and_runs_once_at_a_time(self, bucket: str, deployed: Deployed, ask: Any) -> None:
        assert deployed.outputs["exchange_rates_function"] == FUNCTION
        found = ask("lambda").get_function(FunctionName=FUNCTION)
        assert found["Concurrency"]["ReservedConcurrentExecutions"] == 1
        configuration = found["Configuration"]
        assert configuration["Role"] == f"{ROLES}/{FUNCTION}"
        assert not configuration.get("VpcConfig", {}).get("SubnetIds")
        assert configuration["Environment"]["Variables"]["LANDING_BUCKET"] == bucket

    def test_a_schedule_invokes_it_and_says_when(self, deployed: Deployed, ask: Any) -> None:
        schedule = ask("scheduler").get_schedule(Name=FUNCTION)
        assert schedule["State"] == "ENABLED"
        assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
        assert schedule["Target"]["Arn"].endswith(f":function:{FUNCTION}")
        assert schedule["Target"]["RoleArn"] == f"{ROLES}/{FUNCTION}-schedule"
        assert schedule["Target"]["Input"] == '{"time": "<aws.scheduler.scheduled-time>"}'

    def test_silence_alarms_but_not_over_a_weekend(self, deployed: Deployed, ask: Any) -> None:
        (missing,) = ask("cloudwatch").describe_alarms(AlarmNames=[f"{FUNCTION}-missing"])["MetricAlarms"]
        assert missing["Dimensions"] == [{"Name": "FunctionName", "Value": FUNCTION}]
        assert missing["TreatMissingData"] == "breaching"
        # From Friday's last to Monday's first, and an hour more when clocks are put back.
        assert missing["Period"] * missing["EvaluationPeriods"] > (70 + 1) * 3600


def key_of(bucket: str, ask: Any) -> str:
    (rule,) = ask("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["BucketKeyEnabled"] is True
    key: str = rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    return key


def granted(role: str, ask: Any) -> list[dict[str, Any]]:
    iam = ask("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for document in documents for statement in listed(document["Statement"])]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
