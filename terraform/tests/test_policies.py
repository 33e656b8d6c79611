"""Every policy that exists once all is applied, as AWS has it: linted, without wildcards; and checkov on everything."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from terraform.tests.commands import TERRAFORM
from terraform.tests.conftest import Deployed
from totes_dagster_tests.system.deploy.policy_linter import findings

CHECKOV = TERRAFORM.parent / ".venv" / "checkov" / "bin" / "checkov"

MEANT = {
    # A statement is for objects and the linter misses the bucket, or the other way round: another statement has it.
    "RESOURCE_MISMATCH",
    # It does not know that this condition goes with the action.
    "UNKNOWN_CONDITION_FOR_ACTION",
}
"""What the linter finds in roles of the platform, and is meant."""

UNNARROWED = {
    # For no repository in particular.
    "ecr:GetAuthorizationToken",
    # It only describes, and knows no resources.
    "ecs:DescribeTaskDefinition",
    # Channels have no names before they are there.
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
"""Actions that the platform's roles are granted on any resource, for AWS offers nothing finer."""


@pytest.fixture(scope="module")
def roles(deployed: Deployed, ask: Any) -> dict[str, list[dict[str, Any]]]:
    """The statements of each role of the platform."""
    iam = ask("iam")
    found: dict[str, list[dict[str, Any]]] = {}
    for role in iam.list_roles(PathPrefix="/totes-dev/")["Roles"]:
        names = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
        policies = [iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name) for name in names]
        found[role["RoleName"]] = [
            statement for policy in policies for statement in listed(policy["PolicyDocument"]["Statement"])
        ]
        assert iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"] == []
    return found


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def resource_policies(ask: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The policies of buckets, keys, topics and endpoints."""
    for bucket in ask("s3").list_buckets()["Buckets"]:
        yield bucket["Name"], json.loads(ask("s3").get_bucket_policy(Bucket=bucket["Name"])["Policy"])
    for key in ask("kms").list_keys()["Keys"]:
        if ask("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyManager"] == "CUSTOMER":
            policy = ask("kms").get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
            yield key["KeyId"], json.loads(policy)
    for topic in ask("sns").list_topics()["Topics"]:
        attributes = ask("sns").get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]
        yield topic["TopicArn"], json.loads(attributes["Policy"])


def test_each_task_has_a_role_of_its_own_within_its_boundary(
    roles: dict[str, list[dict[str, Any]]], deployed: Deployed, ask: Any
) -> None:
    tasks = ("webserver", "daemon", "code-server", "run", "provision", "execution")
    others = ("flow-logs", "exchange-rates", "exchange-rates-schedule", "scheduler", "workers", "workers-execution")
    assert roles.keys() == {f"totes-dev-{which}" for which in (*tasks, *others, "replication")}
    for name in roles:
        boundary = ask("iam").get_role(RoleName=name)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"]
        assert boundary == deployed.bootstrap["boundary_arns"]["dev"]


def test_what_a_role_is_granted_is_within_its_boundary(
    roles: dict[str, list[dict[str, Any]]], deployed: Deployed
) -> None:
    allowed = {
        action
        for statement in json.loads(deployed.bootstrap["policies"]["boundary-dev"])["Statement"]
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }
    for name, statements in roles.items():
        granted = {action for statement in statements for action in listed(statement["Action"])}
        assert granted <= allowed, name


def test_the_boundary_lets_the_source_be_read(deployed: Deployed) -> None:
    # The source's secret is somebody else's, and does not go by the environment's name.
    readable = {
        resource
        for statement in json.loads(deployed.bootstrap["policies"]["boundary-dev"])["Statement"]
        if "secretsmanager:GetSecretValue" in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    assert deployed.source_secret in readable


def test_no_action_is_a_wildcard(roles: dict[str, list[dict[str, Any]]], ask: Any) -> None:
    policies = [*roles.items(), *((name, listed(policy["Statement"])) for name, policy in resource_policies(ask))]
    assert len(policies) > 15
    for name, statements in policies:
        for statement in statements:
            if statement["Effect"] == "Allow":
                assert not [action for action in listed(statement["Action"]) if "*" in action], name


def test_any_resource_is_granted_only_where_aws_offers_nothing_finer(
    roles: dict[str, list[dict[str, Any]]],
) -> None:
    granted = {
        action
        for statements in roles.values()
        for statement in statements
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert granted == UNNARROWED


def test_a_linter_finds_nothing_in_roles_that_is_not_meant(roles: dict[str, list[dict[str, Any]]]) -> None:
    found = {
        (name, *finding)
        for name, statements in roles.items()
        for finding in findings({"Version": "2012-10-17", "Statement": statements})
    }
    assert {finding for finding in found if finding[1] not in MEANT} == set()


def test_only_runs_and_their_workers_may_create_in_the_lake_and_none_may_delete(
    roles: dict[str, list[dict[str, Any]]], deployed: Deployed
) -> None:
    zones = {f"arn:aws:s3:::{bucket}/*" for bucket in deployed.outputs["lake"].values()}
    who: dict[str, set[str]] = {}
    for name, statements in roles.items():
        for statement in statements:
            if zones & set(listed(statement["Resource"])):
                for action in listed(statement["Action"]):
                    who.setdefault(action, set()).add(name.removeprefix("totes-dev-"))
    of_the_copy = ("s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging")
    assert who == {
        "s3:GetObject": {"code-server", "run", "workers"},
        "s3:PutObject": {"run", "workers"},
        **{action: {"replication"} for action in of_the_copy},
    }


@pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not installed: `make test-terraform` does that")
def test_checkov_finds_nothing_that_is_not_meant(second_plan: dict[str, Any], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(second_plan))
    command = [CHECKOV, "--framework", "terraform_plan", "--file", plan, "--output", "json", "--skip-download"]
    done = subprocess.run(
        [*command, "--config-file", TERRAFORM / "checkov.yaml", "--soft-fail"], capture_output=True, check=True
    )
    said = json.loads(done.stdout)
    failed = {(check["check_id"], check["check_name"], check["resource"]) for check in said["results"]["failed_checks"]}
    assert failed == set()
    assert said["summary"]["parsing_errors"] == 0
    assert said["summary"]["resource_count"] > 150
    assert said["summary"]["passed"] > 300
