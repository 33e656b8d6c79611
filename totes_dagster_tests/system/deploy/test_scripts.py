"""The scripts that run tasks, wait for services, tag images and migrate, against a stand-in for the AWS CLI."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from totes_dagster_tests.system.deploy.aws_cli import IMAGE, OUTPUTS, SCRIPTS, TASK, Aws, stopped

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")

RUNNING = {"tasks": [{"lastStatus": "RUNNING", "containers": [{"name": "run"}]}]}


@pytest.mark.parametrize("code", [0, 1, 137])
def test_the_exit_code_is_that_of_the_task(aws: Aws, code: int) -> None:
    aws.answer("describe-tasks", RUNNING, stopped(exitCode=code))
    done = aws.run("run_task.sh", "run", "run_task_definition")
    assert done.returncode == code, done.stderr
    assert "one refresh" in done.stdout


def test_a_command_is_given_to_the_container_as_it_is(aws: Aws) -> None:
    aws.answer("describe-tasks", stopped(exitCode=0))
    assert aws.run("run_task.sh", "run", "run_task_definition", "totes", "two words", "--x").returncode == 0
    started = next(call for call in aws.calls() if "run-task" in call)
    assert '{"containerOverrides":[{"name":"run","command":["totes","two words","--x"]}]}' in started
    assert '"subnets":["subnet-1","subnet-2"],"securityGroups":["sg-1"]' in started
    assert '"assignPublicIp":"DISABLED"' in started


def test_a_task_that_could_not_be_placed_is_a_failure(aws: Aws) -> None:
    aws.answer("run-task", {"tasks": [], "failures": [{"reason": "RESOURCE:CPU"}]})
    done = aws.run("run_task.sh", "run", "run_task_definition")
    assert done.returncode == 1
    assert "RESOURCE:CPU" in done.stderr


def test_a_task_that_never_ran_is_a_failure_with_its_reason(aws: Aws) -> None:
    aws.answer("describe-tasks", stopped(reason="CannotPullContainerError: no such image"))
    done = aws.run("run_task.sh", "run", "run_task_definition")
    assert done.returncode == 1
    assert "The task never ran: CannotPullContainerError: no such image; Ended" in done.stderr


def test_a_task_that_takes_too_long_is_stopped(aws: Aws) -> None:
    aws.answer("describe-tasks", RUNNING)
    aws.answer("stop-task", {})
    done = aws.run("run_task.sh", "run", "run_task_definition", TASK_TIMEOUT="0")
    assert done.returncode == 1
    assert any(call.startswith(f"ecs stop-task --cluster totes-dev --task {TASK}") for call in aws.calls())


def test_logs_that_cannot_be_read_do_not_hide_the_exit_code(aws: Aws) -> None:
    (aws.answers / "get-log-events.0").unlink()
    aws.answer("describe-tasks", stopped(exitCode=0))
    done = aws.run("run_task.sh", "run", "run_task_definition")
    assert done.returncode == 0, done.stderr
    assert "nothing could be read" in done.stdout


def services(*, deployments: int = 1, running: int = 1) -> dict[str, Any]:
    return {
        "services": [
            {
                "serviceName": name,
                "taskDefinition": f"{name}:3",
                "deployments": [{}] * deployments,
                "runningCount": running,
                "desiredCount": 1,
                "events": [{"message": f"(service {name}) failed container health checks"}],
            }
            for name in ("totes-dev-daemon", "totes-dev-webserver")
        ]
    }


def test_services_that_never_become_stable_are_told_with_what_happened_last(aws: Aws) -> None:
    aws.answer("describe-services", services(deployments=2, running=0))
    done = aws.run("await_services.sh", IMAGE, SERVICES_TIMEOUT="0")
    assert done.returncode == 1
    assert "totes-dev-daemon: 0 of 1 tasks run\n  (service totes-dev-daemon) failed container health" in done.stderr


@pytest.mark.parametrize(("runs", "code"), [(IMAGE, 0), (IMAGE.replace("a" * 64, "b" * 64), 1)])
def test_a_service_that_went_back_to_its_old_image_is_a_failure(aws: Aws, runs: str, code: int) -> None:
    aws.answer("describe-services", services(deployments=2), services(running=0), services())
    new, other = ({"taskDefinition": {"containerDefinitions": [{"image": image}]}} for image in (IMAGE, runs))
    aws.answer("describe-task-definition", new, other)
    done = aws.run("await_services.sh", IMAGE)
    assert done.returncode == code, done.stdout + done.stderr


def state(image: str) -> dict[str, Any]:
    attributes = {"container_definitions": json.dumps([{"name": "run", "image": image}])}
    resource = {"type": "aws_ecs_task_definition", "name": "run", "instances": [{"attributes": attributes}]}
    return {
        "version": 4,
        "resources": [{"type": "aws_vpc", "name": "run", "instances": [{"attributes": {}}]}, resource],
    }


@pytest.mark.parametrize(
    ("given", "image"),
    [
        (json.dumps(state(IMAGE)), IMAGE),
        ("", "there/totes@sha256:" + "0" * 64),
        ('{"version": 4, "resources": []}', "there/totes@sha256:" + "0" * 64),
    ],
)
def test_a_plan_is_made_for_the_image_that_is_deployed(given: str, image: str) -> None:
    command = [str(SCRIPTS / "deployed_image.sh"), "there/totes"]
    assert subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout.strip() == image


def test_an_image_gets_one_more_tag_and_stays_what_it_is(aws: Aws) -> None:
    manifest = '{"schemaVersion": 2,\\n  "manifests": []}'
    kind = "application/vnd.oci.image.index.v1+json"
    aws.answer("batch-get-image", {"images": [{"imageManifest": manifest, "imageManifestMediaType": kind}]})
    aws.answer("put-image", {})
    done = aws.run("tag_image.sh", "deployed-prod-1", first=IMAGE)
    assert done.returncode == 0, done.stderr
    put = "\n".join(aws.calls())
    assert f"--image-tag deployed-prod-1 --image-digest sha256:{'a' * 64}" in put
    assert put.endswith(f"--image-manifest-media-type {kind} --image-manifest {manifest}")


def test_an_image_that_is_gone_cannot_be_tagged(aws: Aws) -> None:
    aws.answer("batch-get-image", {"images": [], "failures": [{"failureCode": "ImageNotFound"}]})
    done = aws.run("tag_image.sh", "deployed-prod-1", first=IMAGE)
    assert done.returncode == 1
    assert "ImageNotFound" in done.stderr


class Deployment(Aws):
    """An environment that runs an old image; its folder is the current one, and Terraform is a stand-in, too."""

    OLD = IMAGE.replace("a" * 64, "b" * 64)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "state.json").write_text(json.dumps(state(self.OLD)))
        outputs = {
            **OUTPUTS,
            "provision_task_definition": "provision:4",
            "log_group_names": {"provision": "/provision"},
        }
        (folder / "given.json").write_text(json.dumps({name: {"value": value} for name, value in outputs.items()}))
        program = folder / "terraform"
        program.write_text(
            "#!/usr/bin/env bash\n"
            f'echo "terraform $* image=$TF_VAR_image provisioning=$TF_VAR_provisioning_image" >> {self.answers}/calls\n'
            f'case "$1" in state) cat {folder}/state.json;; output) cat {folder}/given.json;; esac\n'
        )
        program.chmod(0o755)
        self.answer("run-task", {"tasks": [{"taskArn": TASK}], "failures": []})
        self.answer("get-log-events", {"events": []})

    def ends_with(self, *codes: int) -> None:
        """How the task of provisioning ends, each time."""
        of_provision = [
            {"tasks": [{"lastStatus": "STOPPED", "containers": [{"name": "provision", "exitCode": code}]}]}
            for code in codes
        ]
        # Each is asked for twice: whether the task has stopped, and how.
        self.answer("describe-tasks", *of_provision)

    def migrate(self) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "TASK_POLL_SECONDS": "0"}
        return subprocess.run(
            [str(SCRIPTS / "migrate.sh"), IMAGE],
            cwd=self.folder,
            env={**environment, "DAEMON_SILENCE_SECONDS": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def applied(self) -> list[str]:
        return [call for call in self.calls() if call.startswith("terraform apply")]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_databases_are_migrated_by_the_new_image_while_all_else_has_the_old_one(deployment: Deployment) -> None:
    deployment.ends_with(0)
    done = deployment.migrate()
    assert done.returncode == 0, done.stderr
    (apply,) = deployment.applied()
    assert apply.endswith(f"-lock-timeout=10m image={deployment.OLD} provisioning={IMAGE}")


def test_services_are_stopped_for_migrations_of_dagsters_storage(deployment: Deployment) -> None:
    deployment.ends_with(75, 0)
    deployment.answer("describe-services", services(deployments=2), services())
    image = {"taskDefinition": {"containerDefinitions": [{"image": deployment.OLD}]}}
    deployment.answer("describe-task-definition", image)
    done = deployment.migrate()
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = deployment.applied()
    assert "-var paused=true" not in first
    assert f"-var paused=true image={deployment.OLD}" in second
    calls = deployment.calls()
    assert sum("run-task" in call for call in calls) == 2
    assert calls.index(second) < max(index for index, call in enumerate(calls) if "describe-services" in call)


@pytest.mark.parametrize("codes", [(1,), (75, 1)])
def test_a_migration_that_fails_fails_the_deployment_before_services_get_the_new_image(
    deployment: Deployment, codes: tuple[int, ...]
) -> None:
    deployment.ends_with(*codes)
    deployment.answer("describe-services", services())
    image = {"taskDefinition": {"containerDefinitions": [{"image": deployment.OLD}]}}
    deployment.answer("describe-task-definition", image)
    assert deployment.migrate().returncode == 1
    applied = deployment.applied()
    assert all(f"image={deployment.OLD}" in apply for apply in applied)
    assert "paused" not in applied[-1]  # whoever was stopped for it runs again
