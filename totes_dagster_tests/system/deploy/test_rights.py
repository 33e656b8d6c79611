"""The workflows' rights on an environment, as Terraform writes them and a linter of IAM policies reads them.

The module has no provider, so it is really applied here, and no AWS is asked.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from totes_dagster_tests.system.deploy.policy_linter import findings, known_actions

ROOT = Path(__file__).parents[3]
RIGHTS = ROOT / "terraform" / "bootstrap" / "rights"

pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not installed")

# What the linter finds and is meant, by the kind of finding; each with all that it is found for.
MEANT = {
    # It reads one statement at a time, and here AWS is asked for two resources that two statements allow; and it wants
    # resources of kinds that there are none of: Athena's catalogues, network load balancers.
    "RESOURCE_MISMATCH": None,
    # It does not know that this condition goes with every action.
    "UNKNOWN_CONDITION_FOR_ACTION": "aws:ViaAWSService",
    # Alarms made of alarms can be described only by who may describe all.
    "RESOURCE_STAR": "cloudwatch:DescribeAlarms",
    # AWS's own documentation compares the boundary as a string.
    "MISMATCHED_TYPE_BUT_USABLE": "given Arn",
    # Who writes a bucket's policy and lifecycle could let itself into it. To deploy a bucket is to write these.
    "RESOURCE_POLICY_PRIVILEGE_ESCALATION": "arn:aws:s3:::totes-dev-*",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("rights")
    for file in RIGHTS.glob("*.tf"):
        shutil.copy(file, folder)
    account = "123456789012"
    variables = {
        "environment": "dev",
        "name": "totes-dev",
        "partition": "aws",
        "region": "eu-west-2",
        "account_id": account,
        "boundary_arn": f"arn:aws:iam::{account}:policy/totes/totes-boundary-dev",
        "source_network": {"vpc_id": "vpc-0123456789abcdef0", "route_table_ids": ["rtb-0123456789abcdef0"]},
        "transit_gateway_arn": f"arn:aws:ec2:eu-west-2:{account}:transit-gateway/tgw-0123456789abcdef0",
    }
    (folder / "terraform.tfvars.json").write_text(json.dumps(variables))
    for command in (["init", "-input=false"], ["apply", "-input=false", "-auto-approve"]):
        subprocess.run(["terraform", *command], cwd=folder, check=True, capture_output=True)
    printed = subprocess.run(["terraform", "output", "-json"], cwd=folder, check=True, capture_output=True).stdout
    return {name: output["value"] for name, output in json.loads(printed).items()}


def statements(outputs: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [*outputs["read"].values(), *outputs["write"].values()]
    return [statement for group in groups for statement in group]


def test_a_linter_finds_nothing_that_is_not_meant(outputs: dict[str, Any]) -> None:
    found = []
    for group in [*outputs["read"].values(), *outputs["write"].values()]:
        found += findings({"Version": "2012-10-17", "Statement": group})
    assert found, "the linter looked at nothing"
    assert [(kind, what) for kind, what in found if kind not in MEANT or (MEANT[kind] or "") not in what] == []


def test_every_action_exists(outputs: dict[str, Any]) -> None:
    assert set(outputs["deploy_actions"]) - known_actions() == set()


def test_a_plan_takes_less_than_a_deployment(outputs: dict[str, Any]) -> None:
    assert set(outputs["plan_actions"]) < set(outputs["deploy_actions"])
    reading = ("Describe", "Get", "List", "View")
    assert [action for action in outputs["plan_actions"] if not action.split(":")[1].startswith(reading)] == []


def test_everything_is_for_one_environment_or_says_why_not(outputs: dict[str, Any]) -> None:
    lines = [line for file in RIGHTS.glob("*.tf") for line in file.read_text().splitlines()]
    assert [line for line in lines if '["*"]' in line and "#" not in line] == []
    everywhere = [statement["Sid"] for statement in statements(outputs) if "*" in statement["Resource"]]
    assert len(everywhere) < len(statements(outputs)) / 3


def test_no_two_statements_of_a_policy_have_one_name(outputs: dict[str, Any]) -> None:
    for group in [*outputs["read"].values(), *outputs["write"].values()]:
        names = [statement["Sid"] for statement in group]
        assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def of_operators() -> dict[str, Any]:
    """The policy of docs/aws.md for those who may forward ports."""
    section = (ROOT / "docs" / "aws.md").read_text().partition("\n## Who may forward ports\n")[2].partition("\n## ")[0]
    (policy,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    found: dict[str, Any] = json.loads(policy)
    return found


def test_a_linter_finds_nothing_in_the_policy_of_operators_that_is_not_meant(of_operators: dict[str, Any]) -> None:
    meant = {
        # It has no resources but instances; the cluster narrows it.
        ("RESOURCE_STAR", "ecs:ListTasks"),
        # Newer than the linter: a condition, and an action's resources.
        ("UNKNOWN_CONDITION_FOR_ACTION", "ssm:SessionDocumentAccessCheck"),
        ("RESOURCE_MISMATCH", "ssmmessages:OpenDataChannel"),
    }
    found = findings(of_operators)
    explained = [(kind, name) for issue, detail in found for kind, name in meant if kind == issue and name in detail]
    assert len(explained) == len(found)
    assert set(explained) == meant


def test_operators_may_start_no_session_but_forward_ports(of_operators: dict[str, Any]) -> None:
    actions = {
        action: statement
        for statement in of_operators["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert "ecs:ExecuteCommand" not in actions
    starting = actions["ssm:StartSession"]
    documents = [name for name in starting["Resource"] if ":document/" in name]
    assert documents == ["arn:aws:ssm:eu-west-2::document/AWS-StartPortForwardingSession"]
    assert starting["Condition"] == {"BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"}}
