"""How runs are launched on ECS, as `deploy/dagster.yaml` configures it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.launcher import LaunchRunContext
from dagster._core.test_utils import instance_for_test
from moto import mock_aws

from totes_dagster.definitions import defs

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A cluster with a task definition, in a network, and the environment that names them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        ec2, ecs = boto3.client("ec2"), boto3.client("ecs")
        vpc = ec2.create_vpc(CidrBlock="10.42.0.0/20")["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        blocks = ("10.42.0.0/24", "10.42.1.0/24")
        subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"] for block in blocks]
        group = ec2.create_security_group(GroupName="run", Description="Runs.", VpcId=vpc)["GroupId"]
        ecs.create_cluster(clusterName="totes-dev")
        container = {"name": "run", "image": "totes_dagster", "memory": 512}
        ecs.register_task_definition(
            family="totes-dev-run",
            containerDefinitions=[container],
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
        )
        environment = {
            "DAGSTER_RUN_TASK_DEFINITION": "totes-dev-run",
            "DAGSTER_RUN_CLUSTER": "totes-dev",
            "DAGSTER_RUN_SUBNETS": ",".join(subnets),
            "DAGSTER_RUN_SECURITY_GROUP": group,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


@pytest.fixture
def instance(network: dict[str, str]) -> Iterator[DagsterInstance]:
    configuration = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    with instance_for_test(overrides={"run_launcher": configuration["run_launcher"]}) as found:
        yield found


def test_a_run_is_launched_in_the_network_that_the_environment_names(
    network: dict[str, str], instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    launcher: Any = instance.run_launcher
    monkeypatch.delattr(launcher, "ec2")  # which is not asked
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4", raising=False)
    original = launcher.ecs.run_task

    def run_task(**given: Any) -> Any:
        asked.append(given)
        return original(**given)

    monkeypatch.setattr(launcher.ecs, "run_task", run_task)
    repository = ReconstructableRepository.for_module("totes_dagster.definitions", "defs")
    origin = ReconstructableJob(repository, "refresh").get_python_origin()
    run = instance.create_run_for_job(defs.resolve_job_def("refresh"), job_code_origin=origin)
    launcher.launch_run(LaunchRunContext(run, None))
    (given,) = asked
    assert given["cluster"] == "totes-dev"
    assert given["launchType"] == "FARGATE"
    assert given["propagateTags"] == "TASK_DEFINITION"
    assert given["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": network["DAGSTER_RUN_SUBNETS"].split(","),
        "securityGroups": [network["DAGSTER_RUN_SECURITY_GROUP"]],
        "assignPublicIp": "DISABLED",
    }
