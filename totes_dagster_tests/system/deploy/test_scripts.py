"""The scripts of the deployment, against a stand-in for the AWS CLI that answers as ECS does.

No emulator of ECS ends its tasks by itself, which is all that these scripts are about.
"""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[3] / ".github" / "scripts"
DEPLOY = Path(__file__).parents[3] / "deploy"

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")

IMAGE = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:" + "a" * 64
TASK = "arn:aws:ecs:eu-west-2:123456789012:task/totes-dev/0123456789abcdef"
OUTPUTS = {
    "cluster": "totes-dev",
    "private_subnet_ids": ["subnet-1", "subnet-2"],
    "task_security_group_ids": {"run": "sg-1", "provision": "sg-2"},
    "run_task_definition": "arn:aws:ecs:eu-west-2:123456789012:task-definition/totes-dev-run:3",
    "log_group_names": {"run": "/totes-dev/run"},
    "service_names": ["totes-dev-daemon", "totes-dev-webserver"],
}


ANSWERING = """
printf "%s\\n" "$*" >> calls
answers=("$2".[0-9])
if [ ! -e "${answers[0]}" ]; then exit 254; fi
cat "${answers[0]}"
if [ -e "${answers[1]}" ]; then rm "${answers[0]}"; fi
"""


class Aws:
    """Answers by the subcommand, the last one again and again; remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers = folder / "answers"
        self.answers.mkdir()
        program = folder / "aws"
        program.write_text(f"#!/usr/bin/env bash\ncd {self.answers}\n{ANSWERING}")
        program.chmod(0o755)
        outputs = {name: {"value": value} for name, value in OUTPUTS.items()}
        (folder / "outputs.json").write_text(json.dumps(outputs))

    def answer(self, subcommand: str, *answers: dict[str, Any]) -> None:
        for index, answer in enumerate(answers):
            (self.answers / f"{subcommand}.{index}").write_text(json.dumps(answer))

    def calls(self) -> list[str]:
        return (self.answers / "calls").read_text().splitlines()

    def run(
        self, script: str, *arguments: str, first: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "TASK_POLL_SECONDS": "0",
            **environment,
        }
        command = [
            str((DEPLOY if script == "restore_drill.sh" else SCRIPTS) / script),
            first or str(self.folder / "outputs.json"),
            *arguments,
        ]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def aws(tmp_path: Path) -> Aws:
    aws = Aws(tmp_path)
    aws.answer("run-task", {"tasks": [{"taskArn": TASK}], "failures": []})
    aws.answer("get-log-events", {"events": [{"message": "one refresh"}]})
    return aws


def stopped(**container: Any) -> dict[str, Any]:
    return {
        "tasks": [{"lastStatus": "STOPPED", "stoppedReason": "Ended", "containers": [{"name": "run", **container}]}]
    }


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


INDEX = {
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {"digest": "sha256:for-amd64", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:attestation", "platform": {"os": "unknown", "architecture": "unknown"}},
    ],
}


def scanned(
    *findings: dict[str, Any], status: str = "COMPLETE", key: str = "findings", completed: bool = True
) -> dict[str, Any]:
    at = {"imageScanCompletedAt": "2026-01-01T00:00:00Z"} if completed else {}
    return {
        "imageScanStatus": {"status": status, "description": "as it is"},
        "imageScanFindings": {key: findings, **at},
    }


def basic(severity: str, name: str = "CVE-2026-1") -> dict[str, Any]:
    attributes = [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "3.0.1"}]
    return {"name": name, "severity": severity, "attributes": attributes}


def enhanced(severity: str, fix: str) -> dict[str, Any]:
    packages = [{"name": "pyarrow", "version": "1.0"}]
    details = {"vulnerabilityId": "CVE-2026-1", "vulnerablePackages": packages}
    return {"severity": severity, "fixAvailable": fix, "packageVulnerabilityDetails": details}


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days)).date().isoformat()


def accepted(days: int, vulnerability: str = "CVE-2026-1") -> dict[str, str]:
    return {"id": vulnerability, "until": day(days), "reason": "The platform never calls it."}


class TestScan:
    @pytest.fixture
    def aws(self, aws: Aws) -> Aws:
        aws.answer("batch-get-image", {"images": [{"imageManifest": json.dumps(INDEX)}]})
        return aws

    def check(self, aws: Aws, *entries: Any, **environment: str) -> subprocess.CompletedProcess[str]:
        file = aws.folder / "accepted.json"
        file.write_text(json.dumps(entries))
        return aws.run("check_image.sh", str(file), first=IMAGE, SCAN_POLL_SECONDS="0", **environment)

    def test_the_image_of_each_platform_is_waited_for_and_no_attestation(self, aws: Aws) -> None:
        # Each answer is asked for once.
        aws.answer("describe-image-scan-findings", scanned(status="IN_PROGRESS"), scanned(basic("LOW")))
        done = self.check(aws)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "Found: 1 LOW.\n"
        asked = [call for call in aws.calls() if "describe-image-scan-findings" in call]
        assert len(asked) == 2
        assert all("imageDigest=sha256:for-amd64" in call for call in asked)

    def test_an_image_without_an_index_is_scanned_itself(self, aws: Aws) -> None:
        aws.answer("batch-get-image", {"images": [{"imageManifest": json.dumps({"config": {}, "layers": []})}]})
        aws.answer("describe-image-scan-findings", scanned())
        done = self.check(aws)
        assert done.returncode == 0, done.stderr
        assert f"imageDigest={IMAGE.partition('@')[2]}" in aws.calls()[-1]

    @pytest.mark.parametrize(
        ("found", "code"),
        [
            (scanned(basic("CRITICAL")), 1),
            (scanned(basic("HIGH")), 0),  # of which basic scanning does not say whether there is a fix
            (scanned(enhanced("CRITICAL", "NO"), key="enhancedFindings", status="ACTIVE"), 1),
            (scanned(enhanced("HIGH", "YES"), key="enhancedFindings", status="ACTIVE"), 1),
            (scanned(enhanced("HIGH", "PARTIAL"), key="enhancedFindings", status="ACTIVE"), 1),
            (scanned(enhanced("HIGH", "NO"), key="enhancedFindings", status="ACTIVE"), 0),
            (scanned(enhanced("MEDIUM", "YES"), key="enhancedFindings", status="ACTIVE"), 0),
        ],
    )
    def test_what_is_critical_or_high_and_can_be_fixed_is_not_deployed(
        self, aws: Aws, found: dict[str, Any], code: int
    ) -> None:
        aws.answer("describe-image-scan-findings", found)
        done = self.check(aws)
        assert done.returncode == code, done.stderr
        assert (" CVE-2026-1 in " in done.stdout) == (code == 1)

    @pytest.mark.parametrize(
        ("entry", "code"),
        [(accepted(0), 0), (accepted(30), 0), (accepted(-1), 1), (accepted(30, "CVE-2026-2"), 1)],
    )
    def test_what_is_accepted_is_deployed_until_its_date(self, aws: Aws, entry: dict[str, str], code: int) -> None:
        aws.answer("describe-image-scan-findings", scanned(basic("CRITICAL")))
        assert self.check(aws, entry).returncode == code

    @pytest.mark.parametrize(
        "entry",
        [
            accepted(121),
            {**accepted(30), "until": "soon"},
            {**accepted(30), "reason": ""},
            {**accepted(30), "id": ".*"},
            "CVE-2026-1",
        ],
    )
    def test_a_list_with_a_mistake_accepts_nothing(self, aws: Aws, entry: Any) -> None:
        aws.answer("describe-image-scan-findings", scanned())
        done = self.check(aws, entry)
        assert done.returncode == 1
        assert "each entry needs an id, a reason" in done.stderr

    @pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE"])
    def test_what_could_not_be_scanned_is_not_deployed(self, aws: Aws, status: str) -> None:
        aws.answer("describe-image-scan-findings", scanned(status=status))
        done = self.check(aws)
        assert done.returncode == 1
        assert f"was not scanned: {status}: as it is" in done.stderr

    def test_a_scan_that_goes_on_counts_once_it_was_complete(self, aws: Aws) -> None:
        aws.answer("describe-image-scan-findings", scanned(status="ACTIVE", completed=False))
        done = self.check(aws, SCAN_TIMEOUT="0")
        assert done.returncode == 1
        assert "was not scanned in time: ACTIVE" in done.stderr

    def test_a_scan_that_the_push_did_not_start_is_started(self, aws: Aws) -> None:
        program = aws.folder / "aws"
        failing = 'echo "An error occurred (ScanNotFoundException)" >&2; exit 254'
        program.write_text(program.read_text().replace("exit 254", failing))
        done = self.check(aws, SCAN_TIMEOUT="1")
        assert done.returncode == 1
        assert "was not scanned in time" in done.stderr
        assert sum("start-image-scan" in call for call in aws.calls()) == 1

    def test_the_list_of_the_project_is_in_order(self, aws: Aws) -> None:
        aws.answer("describe-image-scan-findings", scanned())
        done = aws.run("check_image.sh", str(SCRIPTS.parent / "accepted_vulnerabilities.json"), first=IMAGE)
        assert done.returncode == 0, done.stderr


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


class TestRestoreDrill:
    @pytest.fixture
    def aws(self, aws: Aws) -> Aws:
        # First it is asked whether there is a copy already, and there is none.
        aws.answer("describe-db-instances", {"DBInstances": []}, server(), server("creating"), server())
        aws.answer("restore-db-instance-to-point-in-time", {})
        aws.answer("delete-db-instance", {})
        aws.answer("describe-tasks", stopped(exitCode=0))
        return aws

    def calls(self, aws: Aws, subcommand: str) -> list[str]:
        return [call for call in aws.calls() if call.split()[1] == subcommand]

    def test_a_copy_beside_the_warehouse_is_tried_and_deleted(self, aws: Aws) -> None:
        done = aws.run("restore_drill.sh")
        assert done.returncode == 0, done.stderr
        (restore,) = self.calls(aws, "restore-db-instance-to-point-in-time")
        assert (
            "--source-db-instance-identifier totes-dev-warehouse --target-db-instance-identifier totes-dev-" in restore
        )
        assert "--use-latest-restorable-time" in restore
        assert "--db-subnet-group-name totes-dev-warehouse --vpc-security-group-ids sg-1 sg-2" in restore
        assert "--db-parameter-group-name totes-dev-warehouse-postgres17" in restore
        assert "--no-publicly-accessible" in restore
        (task,) = self.calls(aws, "run-task")
        assert '"command":["totes","drill","--yes","--host","copy.example"]' in task
        (deletion,) = self.calls(aws, "delete-db-instance")
        assert deletion.startswith("rds delete-db-instance --db-instance-identifier totes-dev-warehouse-drill ")
        assert "Restored: " in done.stdout and "Caught up, rebuilt and compared: " in done.stdout

    def test_a_moment_can_be_named_and_the_copy_kept(self, aws: Aws) -> None:
        done = aws.run("restore_drill.sh", "2026-11-28T00:00:00Z", KEEP="yes")
        assert done.returncode == 0, done.stderr
        (restore,) = self.calls(aws, "restore-db-instance-to-point-in-time")
        assert "--restore-time 2026-11-28T00:00:00Z" in restore
        assert self.calls(aws, "delete-db-instance") == []

    def test_a_copy_that_is_not_right_fails_and_is_deleted(self, aws: Aws) -> None:
        aws.answer("describe-tasks", stopped(exitCode=1))
        assert aws.run("restore_drill.sh").returncode == 1
        assert len(self.calls(aws, "delete-db-instance")) == 1

    def test_a_copy_that_is_never_there_fails_and_is_deleted(self, aws: Aws) -> None:
        done = aws.run("restore_drill.sh", DRILL_TIMEOUT="0")
        assert done.returncode == 1
        assert "is not available yet: it is creating." in done.stderr
        assert len(self.calls(aws, "delete-db-instance")) == 1

    def test_a_copy_of_somebody_else_is_left_alone(self, aws: Aws) -> None:
        aws.answer("describe-db-instances", server())
        done = aws.run("restore_drill.sh")
        assert done.returncode == 1
        assert "There is a server totes-dev-warehouse-drill already." in done.stderr
        assert self.calls(aws, "delete-db-instance") == []


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
