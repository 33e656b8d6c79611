"""Asking ECS for workers before a large batch."""

import boto3
import pytest
from moto import mock_aws

from totes_dagster.cluster.scaling import WorkersService
from totes_dagster.errors import ClusterError


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """An account with a service that has no workers."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    with mock_aws():
        client = boto3.client("ecs")
        client.create_cluster(clusterName="dev")
        task = {"name": "worker", "image": "totes", "memory": 512}
        client.register_task_definition(family="workers", containerDefinitions=[task])
        client.create_service(cluster="dev", serviceName="workers", taskDefinition="workers", desiredCount=0)
        yield client


def test_as_many_workers_are_asked_for_as_a_batch_is_given(ecs) -> None:  # type: ignore[no-untyped-def]
    WorkersService.parse("dev/workers:8").request()
    (service,) = ecs.describe_services(cluster="dev", services=["workers"])["services"]
    assert service["desiredCount"] == 8


def test_a_refusal_is_one_of_the_cluster(ecs) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ClusterError, match=r"^ECS refused workers from the service carriers: "):
        WorkersService.parse("dev/carriers:8").request()
