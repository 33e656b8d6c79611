"""The module `dashboard` by itself, applied to an emulator of its own, and its container run as ECS would run it.

What else it takes of an environment, such as the load balancer, is made here: dev has none.
"""

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from terraform.tests import emulator
from terraform.tests.commands import Root, copied
from terraform.tests.conftest import IMAGE
from terraform.tests.containers import Image
from terraform.tests.emulator import ACCOUNT, REGION, Emulator
from terraform.tests.test_deployed import EVERYONE
from totes_dagster_tests.ports import free_port
from totes_dagster_tests.system.deploy.policy_linter import findings

NAME = "totes-alone"
HOST = "dagster.example.com"
PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Applied:
    """The module, applied.

    Attributes:
        aws: the emulator that it was applied to.
        root: where Terraform was run.
        variables: what it was given.
        applying: what of AWS was asked for meanwhile.
        ask: a client of a service of the emulator's, by name.
    """

    aws: Emulator
    root: Root
    variables: dict[str, Any]
    applying: set[str]
    ask: Any


@pytest.fixture(scope="module")
def applied(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    folder = tmp_path_factory.mktemp("dashboard")
    with emulator.running(free_port(), folder) as aws:
        sdk = boto3.Session(aws_access_key_id="others", aws_secret_access_key="testing", region_name=REGION)

        def ask(service: str) -> Any:
            return sdk.client(service, endpoint_url=aws.endpoint)

        root = Root(copied(folder) / "modules" / "dashboard", {**settings, **aws.environment})
        variables = surroundings(ask)
        root.connect(variables)
        start = aws.mark()
        root.apply()
        yield Applied(aws, root, variables, aws.actions(start), ask)


def surroundings(ask: Any) -> dict[str, Any]:
    """What other modules make, made; the module's variables."""
    ec2, balancers = ask("ec2"), ask("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.42.0.0/20")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.42.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    groups = {
        group: ec2.create_security_group(GroupName=group, Description=group, VpcId=vpc)["GroupId"]
        for group in ("balancer", "endpoints", "warehouse")
    }
    ids = [subnet["SubnetId"] for subnet in subnets]
    (balancer,) = balancers.create_load_balancer(Name=NAME, Subnets=ids)["LoadBalancers"]
    certificate = ask("acm").request_certificate(DomainName=HOST)["CertificateArn"]
    (listener,) = balancers.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )["Listeners"]
    login = {"host": "127.0.0.1", "port": 1, "database": "warehouse", "username": "dashboard", "password": "notSaid1"}
    secret = ask("secretsmanager").create_secret(Name=f"{NAME}-warehouse-dashboard", SecretString=json.dumps(login))
    return {
        "name": NAME,
        "image": IMAGE,
        "image_repository_arn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/totes_dagster",
        "cluster_arn": ask("ecs").create_cluster(clusterName=NAME)["cluster"]["clusterArn"],
        "vpc_id": vpc,
        "private_subnet_ids": ids,
        "endpoints_security_group_id": groups["endpoints"],
        "s3_prefix_list_id": ec2.describe_managed_prefix_lists()["PrefixLists"][0]["PrefixListId"],
        "warehouse": {"secret_arn": secret["ARN"], "security_group_id": groups["warehouse"]},
        "load_balancer": {
            "listener_arn": listener["ListenerArn"],
            "security_group_id": groups["balancer"],
            "host_name": HOST,
            "user_pool_arn": f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_Example",
            "user_pool_client_id": "example",
            "user_pool_domain": "example",
        },
        "kms_key_arn": ask("kms").create_key()["KeyMetadata"]["Arn"],
    }


def test_its_rule_asks_for_a_login_and_then_forwards_to_it(applied: Applied) -> None:
    listener = applied.variables["load_balancer"]["listener_arn"]
    rules = applied.ask("elbv2").describe_rules(ListenerArn=listener)["Rules"]
    (rule,) = [rule for rule in rules if not rule["IsDefault"]]
    (condition,) = rule["Conditions"]
    assert set(condition["PathPatternConfig"]["Values"]) == {"/dashboard", "/dashboard/*"}
    login, forward = sorted(rule["Actions"], key=lambda action: action["Order"])
    assert login["Type"] == "authenticate-cognito"
    assert login["AuthenticateCognitoConfig"]["OnUnauthenticatedRequest"] == "authenticate"
    (group,) = applied.ask("elbv2").describe_target_groups(TargetGroupArns=[forward["TargetGroupArn"]])["TargetGroups"]
    assert (group["TargetType"], group["Port"], group["HealthCheckPath"]) == ("ip", 3001, "/dashboard/alive")


def test_only_the_load_balancer_reaches_it_and_it_reaches_what_it_needs(applied: Applied) -> None:
    (service,) = applied.ask("ecs").describe_services(cluster=NAME, services=[f"{NAME}-dashboard"])["services"]
    assert service["desiredCount"] == 1
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "DISABLED"
    (own,) = network["securityGroups"]
    filters = [{"Name": "group-id", "Values": [own]}]
    rules = applied.ask("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    found = {
        (rule["IsEgress"], rule["FromPort"], rule.get("ReferencedGroupInfo", {}).get("GroupId") or rule["PrefixListId"])
        for rule in rules
        if rule.get("CidrIpv4") != "0.0.0.0/0"  # which the emulator gives every new group
    }
    given = applied.variables
    assert found == {
        (False, 3001, given["load_balancer"]["security_group_id"]),
        (True, 443, given["endpoints_security_group_id"]),
        (True, 443, given["s3_prefix_list_id"]),
        (True, 5432, given["warehouse"]["security_group_id"]),
    }


@pytest.fixture(scope="module")
def roles(applied: Applied) -> dict[str, list[dict[str, Any]]]:
    """The statements of its roles."""
    iam, found = applied.ask("iam"), {}
    for role in iam.list_roles(PathPrefix=f"/{NAME}/")["Roles"]:
        (policy,) = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
        document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=policy)["PolicyDocument"]
        found[role["RoleName"].removeprefix(f"{NAME}-")] = document["Statement"]
    return found


def test_it_may_read_its_own_login_and_do_nothing_else(
    roles: dict[str, list[dict[str, Any]]], applied: Applied
) -> None:
    assert {(statement["Action"], statement["Resource"]) for statement in roles["dashboard"]} == {
        ("secretsmanager:GetSecretValue", applied.variables["warehouse"]["secret_arn"]),
        ("kms:Decrypt", applied.variables["kms_key_arn"]),
    }


def test_a_linter_finds_nothing_in_its_roles(roles: dict[str, list[dict[str, Any]]]) -> None:
    assert roles.keys() == {"dashboard", "dashboard-execution"}
    for statements in roles.values():
        assert findings({"Version": "2012-10-17", "Statement": statements}) == []


def test_what_applying_asks_for_is_what_the_deploying_role_may(applied: Applied, settings: dict[str, str]) -> None:
    rights = Root(applied.root.folder.parents[1] / "bootstrap" / "rights", settings)
    arn = f"arn:aws:iam::{ACCOUNT}:policy/totes/totes-boundary-dev"
    given = {"environment": "dev", "name": NAME, "partition": "aws", "region": REGION, "account_id": ACCOUNT}
    (rights.folder / "terraform.tfvars.json").write_text(json.dumps({**given, "boundary_arn": arn}))
    rights.run("init", "-no-color")
    rights.apply()
    assert "elasticloadbalancing:CreateRule" in applied.applying
    assert applied.applying - EVERYONE <= set(rights.outputs()["deploy_actions"])


def test_it_answers_as_its_task_definition_and_the_load_balancer_expect(
    applied: Applied, roles: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    definition = applied.ask("ecs").describe_task_definition(taskDefinition=f"{NAME}-dashboard")["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert container["readonlyRootFilesystem"] is True
    image = Image(tmp_path, applied.aws.environment)
    environment = image.environment(container, applied.ask("secretsmanager"))
    assert "notSaid1" not in environment.values()
    with image.running(container, environment):
        deadline = time.monotonic() + PATIENCE
        while not image.is_healthy(container, environment):
            assert time.monotonic() < deadline, image.said("dashboard")
            time.sleep(0.5)
        # The login is the secret's, and there is no server where it says.
        assert ask_for(image, "/dashboard/sales", HOST) == 503
        assert ask_for(image, "/dashboard/alive", "10.42.0.7:3001") == 200
        assert ask_for(image, "/dashboard/sales", "evil.example") == 421
    granted = {statement["Action"] for statement in roles["dashboard"]}
    assert applied.aws.actions(of="dashboard") == {"secretsmanager:GetSecretValue"} <= granted


def ask_for(image: Image, path: str, host: str) -> int:
    """The status of the dashboard's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(image.dashboard_port), timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()
