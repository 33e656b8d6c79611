"""Workers of large batches: what exists of them once the dev environment is applied, and that they find one another."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from terraform.tests.conftest import IMAGE, Deployed
from terraform.tests.containers import Image
from terraform.tests.emulator import Emulator
from totes_dagster.cluster.credentials import credentials_of_secret, new_credentials
from totes_dagster.cluster.spreading import Cluster
from totes_dagster.errors import ClusterError

NAME = "totes-dev-workers"
PATIENCE = 60  # seconds


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def containers(deployed: Deployed, ask: Any) -> dict[str, dict[str, Any]]:
    """The containers of all tasks that have something to do with workers, as ECS has them."""
    found = {}
    for task in ("scheduler", "workers", "run", "provision", "code-server"):
        definition = ask("ecs").describe_task_definition(taskDefinition=f"totes-dev-{task}")["taskDefinition"]
        (found[task],) = definition["containerDefinitions"]
    return found


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["environment"]}


@pytest.fixture(scope="module")
def secret(deployed: Deployed, ask: Any) -> str:
    """The ARN of the secret with the credentials."""
    arn: str = ask("secretsmanager").describe_secret(SecretId=NAME)["ARN"]
    return arn


class TestService:
    @pytest.fixture
    def service(self, deployed: Deployed, ask: Any) -> dict[str, Any]:
        (found,) = ask("ecs").describe_services(cluster=deployed.outputs["cluster"], services=[NAME])["services"]
        service: dict[str, Any] = found
        return service

    def test_there_is_none_until_a_run_asks_and_all_but_one_are_on_spot(self, service: dict[str, Any]) -> None:
        assert service["desiredCount"] == 0
        assert service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
        strategy = {one["capacityProvider"]: one for one in service["capacityProviderStrategy"]}
        assert strategy["FARGATE"]["base"] == 1
        assert [strategy[name].get("weight", 0) for name in ("FARGATE", "FARGATE_SPOT")] == [0, 1]

    def test_no_deployment_waits_for_them(self, deployed: Deployed) -> None:
        assert NAME not in deployed.outputs["service_names"]
        assert "totes-dev-scheduler" in deployed.outputs["service_names"]

    def test_idle_ones_are_taken_away_by_aws(self, deployed: Deployed, ask: Any) -> None:
        scaling = ask("application-autoscaling")
        (target,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
        assert target["ResourceId"] == f"service/totes-dev/{NAME}"
        assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 4)
        (policy,) = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
        configuration = policy["StepScalingPolicyConfiguration"]
        assert configuration["AdjustmentType"] == "ExactCapacity"
        assert [step["ScalingAdjustment"] for step in configuration["StepAdjustments"]] == [0]
        (alarm,) = ask("cloudwatch").describe_alarms(AlarmNames=[f"{NAME}-idle"])["MetricAlarms"]
        assert alarm["AlarmActions"] == [policy["PolicyARN"]]
        assert alarm["TreatMissingData"] == "notBreaching"
        assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {
            "ClusterName": "totes-dev",
            "ServiceName": NAME,
        }


class TestContainers:
    @pytest.mark.parametrize("task", ["scheduler", "workers"])
    def test_it_is_closed_and_of_the_same_image(self, task: str, containers: dict[str, dict[str, Any]]) -> None:
        container = containers[task]
        assert container["image"] == IMAGE
        assert container["user"] == "10001:10001"
        assert container["readonlyRootFilesystem"] is True
        assert container["logConfiguration"]["options"]["awslogs-group"] == f"/totes-dev/{task}"
        assert container["secrets"] == []

    def test_workers_have_the_settings_of_runs_for_the_data(self, containers: dict[str, dict[str, Any]]) -> None:
        of_workers, of_run = environment_of(containers["workers"]), environment_of(containers["run"])
        assert of_workers.items() <= of_run.items()
        assert of_workers.keys() >= {"TOTESYS_SECRET_ID", "WAREHOUSE_SECRET_ID", "TOTES_INGESTION_LAKE", "PGSSLMODE"}
        assert not [name for name in of_workers if name.startswith("DAGSTER_")]

    def test_runs_know_workers_and_the_provisioning_their_secret(
        self, containers: dict[str, dict[str, Any]], secret: str
    ) -> None:
        told = {
            task: {name: value for name, value in environment_of(container).items() if name.startswith("TOTES_WORKERS")}
            for task, container in containers.items()
        }
        only_secret = {"TOTES_WORKERS_SECRET_ID": secret}
        assert told == {
            "scheduler": only_secret,
            "workers": only_secret,
            "provision": only_secret,
            "run": {
                **only_secret,
                "TOTES_WORKERS": "tls://scheduler.totes-dev.internal:8786",
                "TOTES_WORKERS_SERVICE": f"totes-dev/{NAME}:4",
            },
            "code-server": {},
        }


@dataclass(frozen=True)
class Rules:
    """The rules of one security group, but for those that the emulator gives every new one."""

    entries: set[tuple[str, int, int]]
    exits: set[tuple[str, int, int]]


@pytest.fixture(scope="module")
def rules(deployed: Deployed, ask: Any) -> Callable[[str], Rules]:
    """The rules of a security group, by its name; peers that are security groups are named too."""
    ec2 = ask("ec2")
    groups = {group["GroupId"]: group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    ids = {name: group for group, name in groups.items()}

    def found(name: str) -> Rules:
        filters = [{"Name": "group-id", "Values": [ids[name]]}]
        entries, exits = set(), set()
        for rule in ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]:
            group = rule.get("ReferencedGroupInfo", {}).get("GroupId")
            peer = groups[group] if group else rule.get("PrefixListId") or rule.get("CidrIpv4")
            if peer != "0.0.0.0/0":
                (exits if rule["IsEgress"] else entries).add((peer, rule["FromPort"], rule["ToPort"]))
        return Rules(entries, exits)

    return found


class TestNetwork:
    def test_the_scheduler_is_asked_by_runs_and_workers(self, rules: Callable[[str], Rules]) -> None:
        assert rules("totes-dev-scheduler").entries == {
            ("totes-dev-run", 8786, 8786),
            ("totes-dev-workers", 8786, 8786),
        }
        assert ("totes-dev-scheduler", 8786, 8786) in rules("totes-dev-run").exits

    def test_workers_are_asked_by_the_scheduler_alone(self, rules: Callable[[str], Rules]) -> None:
        assert rules("totes-dev-workers").entries == {("totes-dev-scheduler", 32768, 60999)}
        assert ("totes-dev-workers", 32768, 60999) in rules("totes-dev-scheduler").exits

    def test_workers_reach_the_data_and_the_scheduler_none(self, rules: Callable[[str], Rules]) -> None:
        databases = {("totes-dev-warehouse-database", 5432, 5432), ("10.1.0.0/24", 5432, 5432)}
        assert databases <= rules("totes-dev-workers").exits
        assert ("totes-dev-dagster-database", 5432, 5432) not in rules("totes-dev-workers").exits
        assert {port for _, port, _ in rules("totes-dev-scheduler").exits} == {443, 32768}


def test_a_run_may_change_the_workers_service_and_start_nothing_else(deployed: Deployed, ask: Any) -> None:
    policy = ask("iam").get_role_policy(RoleName="totes-dev-run", PolicyName="run")["PolicyDocument"]
    granted = {
        action: statement
        for statement in policy["Statement"]
        for action in listed(statement["Action"])
        if action.startswith("ecs:")
    }
    assert granted.keys() == {"ecs:DescribeServices", "ecs:UpdateService"}
    for statement in granted.values():
        (resource,) = listed(statement["Resource"])
        assert resource.endswith(f":service/totes-dev/{NAME}")
    condition = granted["ecs:UpdateService"]["Condition"]
    assert condition["ArnLikeIfExists"]["ecs:task-definition"].endswith(f":task-definition/{NAME}:*")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, aws: Emulator) -> Image:
    return Image(tmp_path_factory.mktemp("image"), aws.environment)


@pytest.fixture(scope="module")
def cluster(secret: str, image: Image, aws: Emulator, ask: Any) -> Iterator[Cluster]:
    """The cluster as a run has it, with the credentials of the secret."""
    if not ask("secretsmanager").list_secret_version_ids(SecretId=secret)["Versions"]:  # not provisioned before
        value = json.dumps(new_credentials().as_secret())
        ask("secretsmanager").put_secret_value(SecretId=secret, SecretString=value)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in aws.environment.items():
            patched.setenv(name, value)
        yield Cluster(f"tls://127.0.0.1:{image.scheduler_port}", lambda: credentials_of_secret(secret))


def test_a_worker_joins_the_scheduler_as_their_task_definitions_say(
    cluster: Cluster, image: Image, containers: dict[str, dict[str, Any]], aws: Emulator, ask: Any
) -> None:
    secrets = ask("secretsmanager")
    scheduler, worker = containers["scheduler"], containers["workers"]
    of_scheduler = image.environment(scheduler, secrets)
    with image.running(scheduler, of_scheduler), image.running(worker, image.environment(worker, secrets)):
        deadline = time.monotonic() + PATIENCE
        while _count(cluster) < 1:
            assert time.monotonic() < deadline, image.said("scheduler") + image.said("workers")
            time.sleep(0.5)
        assert image.is_healthy(scheduler, of_scheduler)
    for task in ("scheduler", "workers"):
        assert aws.actions(of=task) == {"secretsmanager:GetSecretValue"}


def _count(cluster: Cluster) -> int:
    try:
        return cluster.workers()
    except ClusterError:
        return 0


def test_without_the_option_nothing_of_it_is_there(deployed: Deployed) -> None:
    deployed.root.run("plan", "-refresh=false", "-lock=false", "-var=workers=null", "-out=without.tfplan")
    planned = json.loads(deployed.root.run("show", "-json", "without.tfplan"))["resource_changes"]
    left = [one for one in planned if one["change"]["actions"] != ["delete"]]
    gone = {one["type"] for one in planned if one["change"]["actions"] == ["delete"]}
    assert {"aws_appautoscaling_target", "aws_ecs_cluster_capacity_providers", "aws_secretsmanager_secret"} <= gone
    assert [one["address"] for one in left if "workers" in one["address"] or '["scheduler"]' in one["address"]] == []
    of_run = [one for one in left if one["address"].endswith(".aws_ecs_task_definition.run")]
    assert of_run
    for one in left:
        said = json.dumps(one["change"]["after"])
        assert "TOTES_WORKERS" not in said, one["address"]
        assert NAME not in said, one["address"]


def test_its_logs_are_where_those_of_others_are(deployed: Deployed) -> None:
    assert {"scheduler", "workers"} <= deployed.outputs["log_group_names"].keys()
    assert Path(deployed.outputs["log_group_names"]["workers"]).parent == Path("/totes-dev")
