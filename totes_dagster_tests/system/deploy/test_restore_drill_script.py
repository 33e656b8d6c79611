"""A copy of the warehouse is restored, tried and deleted again, whatever comes of it."""

import shutil
from typing import Any

import pytest

from totes_dagster_tests.system.deploy.aws_cli import Aws, stopped

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


def server(status: str = "available") -> dict[str, Any]:
    found = {
        "DBInstanceStatus": status,
        "LatestRestorableTime": "2026-11-29T08:00:00Z",
        "DBSubnetGroup": {"DBSubnetGroupName": "totes-dev-warehouse"},
        "DBParameterGroups": [{"DBParameterGroupName": "totes-dev-warehouse-postgres17"}],
        "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1"}, {"VpcSecurityGroupId": "sg-2"}],
        "Endpoint": {"Address": "copy.example"},
    }
    return {"DBInstances": [found]}


@pytest.fixture
def aws(aws: Aws) -> Aws:
    # First it is asked whether there is a copy already, and there is none.
    aws.answer("describe-db-instances", {"DBInstances": []}, server(), server("creating"), server())
    aws.answer("restore-db-instance-to-point-in-time", {})
    aws.answer("delete-db-instance", {})
    aws.answer("describe-tasks", stopped(exitCode=0))
    return aws


def calls(aws: Aws, subcommand: str) -> list[str]:
    return [call for call in aws.calls() if call.split()[1] == subcommand]


def test_a_copy_beside_the_warehouse_is_tried_and_deleted(aws: Aws) -> None:
    done = aws.run("restore_drill.sh")
    assert done.returncode == 0, done.stderr
    (restore,) = calls(aws, "restore-db-instance-to-point-in-time")
    assert "--source-db-instance-identifier totes-dev-warehouse --target-db-instance-identifier totes-dev-" in restore
    assert "--use-latest-restorable-time" in restore
    assert "--db-subnet-group-name totes-dev-warehouse --vpc-security-group-ids sg-1 sg-2" in restore
    assert "--db-parameter-group-name totes-dev-warehouse-postgres17" in restore
    assert "--no-publicly-accessible" in restore
    (task,) = calls(aws, "run-task")
    assert '"command":["totes","drill","--yes","--host","copy.example"]' in task
    (deletion,) = calls(aws, "delete-db-instance")
    assert deletion.startswith("rds delete-db-instance --db-instance-identifier totes-dev-warehouse-drill ")
    assert "Restored: " in done.stdout and "Caught up, rebuilt and compared: " in done.stdout


def test_a_moment_can_be_named_and_the_copy_kept(aws: Aws) -> None:
    done = aws.run("restore_drill.sh", "2026-11-28T00:00:00Z", KEEP="yes")
    assert done.returncode == 0, done.stderr
    (restore,) = calls(aws, "restore-db-instance-to-point-in-time")
    assert "--restore-time 2026-11-28T00:00:00Z" in restore
    assert calls(aws, "delete-db-instance") == []


def test_a_copy_that_is_not_right_fails_and_is_deleted(aws: Aws) -> None:
    aws.answer("describe-tasks", stopped(exitCode=1))
    assert aws.run("restore_drill.sh").returncode == 1
    assert len(calls(aws, "delete-db-instance")) == 1


def test_a_copy_that_is_never_there_fails_and_is_deleted(aws: Aws) -> None:
    done = aws.run("restore_drill.sh", DRILL_TIMEOUT="0")
    assert done.returncode == 1
    assert "is not available yet: it is creating." in done.stderr
    assert len(calls(aws, "delete-db-instance")) == 1


def test_a_copy_of_somebody_else_is_left_alone(aws: Aws) -> None:
    aws.answer("describe-db-instances", server())
    done = aws.run("restore_drill.sh")
    assert done.returncode == 1
    assert "There is a server totes-dev-warehouse-drill already." in done.stderr
    assert calls(aws, "delete-db-instance") == []
