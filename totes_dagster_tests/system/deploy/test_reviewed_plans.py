"""What is applied is what was reviewed: the scripts that plan and apply, run with Terraform itself.

The resources are such that need no provider.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[3] / ".github" / "scripts"

pytestmark = pytest.mark.skipif(
    shutil.which("terraform") is None or shutil.which("jq") is None, reason="terraform or jq is not installed"
)

REPOSITORY = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster"
OLD, NEW = (f"{REPOSITORY}@sha256:{letter * 64}" for letter in "ab")

ENVIRONMENT = """
variable "image" { type = string }
variable "provisioning_image" {
  type    = string
  default = null
}
variable "paused" {
  type    = bool
  default = false
}
variable "rule" { type = string }
variable "password" { default = "secret" }

resource "terraform_data" "rule" { input = var.rule }
resource "terraform_data" "password" { input = sensitive(var.password) }
resource "terraform_data" "provision" { triggers_replace = coalesce(var.provisioning_image, var.image) }
resource "terraform_data" "run" { triggers_replace = var.image }
resource "terraform_data" "service" {
  input = { task = terraform_data.run.id, count = var.paused ? 0 : 1 }
}
resource "terraform_data" "alarm" {
  count = var.paused ? 0 : 1
  input = "of the service"
}
resource "terraform_data" "dashboard" { input = terraform_data.alarm[*].id }
output "run" { value = terraform_data.run.triggers_replace }
output "service" { value = terraform_data.service.output.count }
output "rule" { value = terraform_data.rule.output }
"""


class Folder:
    """The folder of an environment, whose state is a file in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary = folder / "summary.md"
        (folder / "main.tf").write_text(ENVIRONMENT)
        self.vary(rule="closed")
        self.run("terraform", "init")

    def vary(self, **values: str) -> None:
        (self.folder / "environment.auto.tfvars.json").write_text(json.dumps(values))

    def attempt(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        environment = {
            "TF_IN_AUTOMATION": "true",
            "TF_INPUT": "false",
            "TF_CLI_ARGS": "-no-color",
            "CHECKPOINT_DISABLE": "1",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            **environment,
        }
        words = [str(word) for word in command]
        return subprocess.run(
            words, cwd=self.folder, env=kept | environment, capture_output=True, text=True, check=False, timeout=60
        )

    def run(self, *command: str | Path, **environment: str) -> str:
        done = self.attempt(*command, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def apply(self, image: str, *options: str) -> None:
        self.run("terraform", "apply", "-auto-approve", f"-var=image={image}", *options)

    def output(self, name: str) -> str:
        return self.run("terraform", "output", "-raw", name).strip()


@pytest.fixture
def environment(tmp_path: Path) -> Folder:
    """It runs the old image, and its rule is to be opened together with the new one."""
    folder = Folder(tmp_path)
    folder.apply(OLD)
    folder.vary(rule="open")
    # As a deployment's two plans are made.
    prepare = {"TF_VAR_image": OLD, "TF_VAR_provisioning_image": NEW}
    folder.run("terraform", "plan", "-lock=false", "-out=prepare.tfplan", **prepare)
    folder.run("terraform", "plan", "-lock=false", "-out=roll_out.tfplan", TF_VAR_image=NEW)
    return folder


def test_first_comes_all_but_the_image_and_then_the_image(environment: Folder) -> None:
    environment.run(SCRIPTS / "apply_plan.sh", "prepare.tfplan", TF_VAR_image=NEW)
    assert (environment.output("rule"), environment.output("run")) == ("open", OLD)
    environment.run(SCRIPTS / "apply_as_reviewed.sh", "roll_out.tfplan", TF_VAR_image=NEW)
    assert environment.output("run") == NEW
    assert json.loads((environment.folder / "outputs.json").read_text())["run"]["value"] == NEW


def test_a_plan_of_an_earlier_state_is_refused_with_what_to_do(environment: Folder) -> None:
    environment.vary(rule="by hand")
    environment.apply(OLD)
    done = environment.attempt(SCRIPTS / "apply_plan.sh", "prepare.tfplan")
    assert done.returncode == 1
    assert "Nothing was applied: the environment's state has changed since this was planned" in done.stderr
    assert "Run the job Plan again" in done.stderr
    assert environment.output("rule") == "by hand"


def test_what_was_not_reviewed_is_not_applied_and_named_without_its_value(environment: Folder) -> None:
    environment.run(SCRIPTS / "apply_plan.sh", "prepare.tfplan")
    environment.vary(rule="wide open", password="another secret")
    done = environment.attempt(SCRIPTS / "apply_as_reviewed.sh", "roll_out.tfplan", TF_VAR_image=NEW)
    assert done.returncode == 1
    assert "terraform_data.rule: input\n" in done.stderr
    assert "terraform_data.password: input\n" in done.stderr
    assert "another secret" not in done.stdout + done.stderr
    assert (environment.output("rule"), environment.output("run")) == ("open", OLD)


def test_what_is_new_or_gone_and_was_not_reviewed_is_not_applied(environment: Folder) -> None:
    environment.run(SCRIPTS / "apply_plan.sh", "prepare.tfplan")
    text = ENVIRONMENT.replace('resource "terraform_data" "password" { input = sensitive(var.password) }', "")
    (environment.folder / "main.tf").write_text(text + '\nresource "terraform_data" "other" {}\n')
    done = environment.attempt(SCRIPTS / "apply_as_reviewed.sh", "roll_out.tfplan", TF_VAR_image=NEW)
    assert done.returncode == 1
    assert "terraform_data.other: create\n" in done.stderr
    assert "terraform_data.password: delete\n" in done.stderr
    assert environment.output("run") == OLD


def test_what_was_stopped_for_a_migration_is_started_as_it_was_reviewed(environment: Folder) -> None:
    environment.run(SCRIPTS / "apply_plan.sh", "prepare.tfplan")
    environment.apply(OLD, f"-var=provisioning_image={NEW}", "-var=paused=true")
    assert environment.output("service") == "0"
    assert "alarm" not in environment.run("terraform", "state", "list")
    environment.run(SCRIPTS / "apply_as_reviewed.sh", "roll_out.tfplan", TF_VAR_image=NEW)
    assert (environment.output("service"), environment.output("run")) == ("1", NEW)
    assert "terraform_data.alarm[0]" in environment.run("terraform", "state", "list")


def test_of_what_was_known_in_part_that_part_is_compared(environment: Folder) -> None:
    environment.run(SCRIPTS / "apply_plan.sh", "prepare.tfplan")
    text = ENVIRONMENT.replace("var.paused ? 0 : 1", "2")
    (environment.folder / "main.tf").write_text(text)
    done = environment.attempt(SCRIPTS / "apply_as_reviewed.sh", "roll_out.tfplan", TF_VAR_image=NEW)
    assert done.returncode == 1
    assert "terraform_data.service: input\n" in done.stderr


def test_what_was_only_made_in_part_is_made_as_it_was_reviewed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.run("terraform", "plan", "-out=prepare.tfplan", "-var=paused=true", TF_VAR_image=NEW)
    folder.apply(NEW, "-var=paused=true", "-target=terraform_data.rule")
    folder.run("terraform", "taint", "terraform_data.rule")
    folder.run(SCRIPTS / "apply_as_reviewed.sh", "prepare.tfplan", "-var=paused=true", TF_VAR_image=NEW)
    assert (folder.output("rule"), folder.output("service")) == ("closed", "0")


def change(*actions: str, before: Any = None, after: Any = None, unknown: Any = None) -> dict[str, Any]:
    """What a plan says of the one resource that there is, as `terraform show -json` has it."""
    changed = {"actions": actions, "before": before, "after": after, "after_unknown": unknown or {}}
    return {"resource_changes": [{"address": "aws_alarm.this", "mode": "managed", "change": changed}]}


THERE = {"name": "silent", "unit": "", "tags": {}, "limits": [1], "arn": "arn:1"}
MADE = {"name": "silent", "unit": None, "tags": None, "limits": [1]}


@pytest.mark.parametrize(
    ("shown", "now", "found"),
    [
        # It was there, and is made again after a pause: what AWS had filled in is not there yet.
        (change("no-op", before=THERE, after=THERE), change("create", after=MADE, unknown={"arn": True}), ""),
        (
            change("no-op", before=THERE, after=THERE),
            change("create", after={**MADE, "limits": [2]}, unknown={"arn": True}),
            "aws_alarm.this: limits",
        ),
        (
            change("update", before=THERE, after=THERE),
            change("delete", "create", before=THERE, after=MADE),
            "aws_alarm.this: delete, then create",
        ),
        (change("no-op", before=THERE, after=THERE), change("delete", before=THERE), "aws_alarm.this: delete"),
        (change("delete", before=THERE), change("delete", before=THERE), ""),
        (change("delete", before=THERE), change("create", after=MADE), "aws_alarm.this: create"),
    ],
)
def test_what_a_plan_would_do_is_compared_with_what_was_shown(
    tmp_path: Path, shown: dict[str, Any], now: dict[str, Any], found: str
) -> None:
    (tmp_path / "shown.json").write_text(json.dumps(shown))
    (tmp_path / "again.json.given").write_text(json.dumps(now))
    program = tmp_path / "terraform"
    program.write_text(
        '#!/usr/bin/env bash\ncase "$*" in "show -json shown.tfplan") cat shown.json;; '
        '"show -json again.tfplan") cat again.json.given;; apply*) echo Applied;; output*) echo "{}";; esac\n'
    )
    program.chmod(0o755)
    done = subprocess.run(
        [str(SCRIPTS / "apply_as_reviewed.sh"), "shown.tfplan"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ("Applied" in done.stdout) == (done.returncode == 0) == (not found)
    assert done.stderr.splitlines()[1:-1] == ([found] if found else [])


class Planned:
    """What a stand-in for Terraform is asked for, by the state that it has."""

    def __init__(self, folder: Path, *, running: int, exit_code: int = 0) -> None:
        self.folder = folder
        image = {"container_definitions": json.dumps([{"image": OLD}])}
        resources = [
            {"type": "aws_ecs_task_definition", "name": "run", "instances": [{"attributes": image}]},
            {"type": "aws_ecs_service", "name": "daemon", "instances": [{"attributes": {"desired_count": running}}]},
        ]
        (folder / "state.json").write_text(json.dumps({"resources": resources}) if running >= 0 else "")
        program = folder / "terraform"
        program.write_text(
            "#!/usr/bin/env bash\n"
            f'case "$1" in state) cat {folder}/state.json;; show) echo "~ desired_count";; '
            f'plan) echo "$TF_VAR_image $TF_VAR_provisioning_image $*" >> {folder}/calls; exit {exit_code};; esac\n'
        )
        program.chmod(0o755)

    def run(self, script: str, argument: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        return subprocess.run(
            [str(SCRIPTS / script), argument],
            cwd=self.folder,
            env={**environment, "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md")},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


def test_a_deployment_is_planned_without_a_lock_and_the_image_last(tmp_path: Path) -> None:
    planned = Planned(tmp_path, running=1)
    assert planned.run("plan_deployment.sh", NEW).returncode == 0
    assert planned.calls() == [
        f"{OLD} {NEW} plan -lock=false -out=prepare.tfplan",
        f"{NEW}  plan -lock=false -out=roll_out.tfplan",
    ]
    assert (tmp_path / "first").read_text() == "false\n"


@pytest.mark.parametrize("running", [-1, 0])
def test_the_first_deployment_is_planned_without_services_first(tmp_path: Path, running: int) -> None:
    planned = Planned(tmp_path, running=running)
    assert planned.run("plan_deployment.sh", NEW).returncode == 0
    assert planned.calls() == [
        f"{NEW}  plan -lock=false -out=prepare.tfplan -var paused=true",
        f"{NEW}  plan -lock=false -out=roll_out.tfplan",
    ]
    assert (tmp_path / "first").read_text() == "true\n"


def test_drift_fails_and_is_shown(tmp_path: Path) -> None:
    planned = Planned(tmp_path, running=1, exit_code=2)
    done = planned.run("find_drift.sh", REPOSITORY)
    assert done.returncode == 2
    assert planned.calls() == [f"{OLD}  plan -lock=false -detailed-exitcode -out=drift.tfplan"]
    assert "~ desired_count" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("code", [0, 1])
def test_no_drift_and_a_plan_that_fails_show_nothing(tmp_path: Path, code: int) -> None:
    planned = Planned(tmp_path, running=1, exit_code=code)
    assert planned.run("find_drift.sh", REPOSITORY).returncode == code
    assert not (tmp_path / "summary.md").exists()


def test_what_is_not_deployed_has_no_drift(tmp_path: Path) -> None:
    planned = Planned(tmp_path, running=-1, exit_code=2)
    assert planned.run("find_drift.sh", REPOSITORY).returncode == 0
