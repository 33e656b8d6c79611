"""The GitHub workflows: linted as a whole, and held to the project's own rules about what they may use and do."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SCRIPTS = sorted([*(GITHUB / "scripts").glob("*.sh"), *(ROOT / "deploy").glob("*.sh")])
ZIZMOR = ROOT / ".venv" / "bin" / "zizmor"


def content(workflow: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(workflow.read_text())
    assert isinstance(loaded, dict)
    return loaded


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{workflow.name}: {name}", job) for workflow in WORKFLOWS for name, job in content(workflow)["jobs"].items()
    ]


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in jobs() for step in job.get("steps", [])]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_zizmor_finds_no_holes() -> None:
    zizmor = shutil.which("zizmor") or str(ZIZMOR)
    done = run(zizmor, "--offline", "--persona", "auditor", "--no-progress", ".github")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings" in done.stdout + done.stderr


def test_zizmor_would_find_one(tmp_path: Path) -> None:
    text = (GITHUB / "workflows" / "check.yml").read_text()
    bad = tmp_path / "check.yml"
    bad.write_text(re.sub(r"actions/checkout@\w{40} # \S+", "actions/checkout@v6", text))
    assert run(shutil.which("zizmor") or str(ZIZMOR), "--offline", bad).returncode != 0


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_finds_no_mistakes() -> None:
    done = run("actionlint", "-no-color", *WORKFLOWS)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_no_mistakes() -> None:
    done = run("shellcheck", *SCRIPTS)
    assert done.returncode == 0, done.stdout


def test_every_action_is_pinned_by_commit_with_its_version() -> None:
    lines = [
        (file.name, line.strip()) for file in WORKFLOWS for line in file.read_text().splitlines() if "uses:" in line
    ]
    actions = [(file, line) for file, line in lines if "uses: ./" not in line]
    assert len(actions) > 10
    pinned = re.compile(r"(- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [(file, line) for file, line in actions if not pinned.fullmatch(line)] == []


def test_one_action_has_one_version_everywhere() -> None:
    used = {
        re.sub(r"\s+#.*", "", match)
        for file in WORKFLOWS
        for match in re.findall(r"uses: ([^.\s]\S+)", file.read_text())
    }
    assert len({action.split("@")[0] for action in used}) == len(used)
    terraforms = {step["with"]["terraform_version"] for _, step in steps() if "setup-terraform" in step.get("uses", "")}
    assert len(terraforms) == 1


def test_no_secret_is_used() -> None:
    used = [(file.name, name) for file in WORKFLOWS for name in re.findall(r"secrets\.(\w+)", file.read_text())]
    assert [(file, name) for file, name in used if name != "GITHUB_TOKEN"] == []
    assert [
        file.name for file in WORKFLOWS if re.search(r"secrets: *inherit|AWS_SECRET_ACCESS_KEY", file.read_text())
    ] == []


def test_every_job_says_what_it_may_and_how_long() -> None:
    assert [file.name for file in WORKFLOWS if content(file)["permissions"] != {}] == []
    assert [name for name, job in jobs() if "permissions" not in job] == []
    allowed = {("contents", "read"), ("id-token", "write")}
    assert [name for name, job in jobs() if not set(job["permissions"].items()) <= allowed] == []
    assert [name for name, job in jobs() if "uses" not in job and "timeout-minutes" not in job] == []


def test_credentials_of_git_are_not_kept() -> None:
    checkouts = [(name, step) for name, step in steps() if "actions/checkout" in step.get("uses", "")]
    assert checkouts
    assert [name for name, step in checkouts if step["with"]["persist-credentials"] is not False] == []


def test_only_what_needs_aws_can_prove_who_it_is() -> None:
    proving = {name for name, job in jobs() if job["permissions"].get("id-token") == "write" and "uses" not in job}
    asking = {name for name, step in steps() if "configure-aws-credentials" in step.get("uses", "")}
    assert proving == asking


def test_what_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = {file.name: file.read_text() for file in WORKFLOWS}
    for file, text in texts.items():
        assert set(re.findall(r"run: make ([a-z-]+)", text)) <= targets, file
        assert [path for path in re.findall(r"uses: \./(\S+)", text) if not (ROOT / path).exists()] == []
        assert [path for path in re.findall(r"totes_dagster_tests/[\w./]+", text) if not (ROOT / path).exists()] == []
        scripts = re.findall(r"(?:SCRIPTS|scripts)/(\w+\.sh)", text)
        assert [name for name in scripts if not (GITHUB / "scripts" / name).stat().st_mode & 0o111] == []
    outputs = set(re.findall(r'output "(\w+)"', (ROOT / "terraform" / "envs" / "prod" / "outputs.tf").read_text()))
    read = {name for script in SCRIPTS for name in re.findall(r"\.(\w+)\.value", script.read_text())}
    assert read | {"run_task_definition", "provision_task_definition"} <= outputs


def test_all_packages_of_dagster_are_upgraded_to_be_tried() -> None:
    (named,) = re.findall(r"packages=\((.*)\)", (GITHUB / "workflows" / "newer_dagster.yml").read_text())
    required = re.findall(r'^ +"(dagster[\w-]*)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert sorted(named.split()) == sorted(required)


def test_the_roles_and_names_are_those_that_bootstrap_makes() -> None:
    text = "".join(file.read_text() for file in WORKFLOWS)
    roles = set(re.findall(r":role(/totes/\S+?)(?:\$|\s)", text))
    assert roles == {"/totes/totes-plan", "/totes/totes-push", "/totes/totes-preview-", "/totes/totes-deploy-"}
    bootstrap = "".join(file.read_text() for file in (ROOT / "terraform" / "bootstrap").glob("*.tf"))
    assert 'path = "/totes/"' in bootstrap
    assert '"totes-boundary-${each.key}"' in bootstrap and ":policy/totes/totes-boundary-" in text
    told = bootstrap + (ROOT / "terraform" / "bootstrap" / "README.md").read_text()
    for name in re.findall(r"vars\.([A-Z_]+)", text):
        assert name in told, name


def test_prod_gets_what_dev_got_and_only_after_it() -> None:
    deploy = content(GITHUB / "workflows" / "deploy.yml")["jobs"]
    assert deploy["image"]["needs"] == "check"
    assert set(deploy["prod"]["needs"]) == {"image", "dev"}
    assert deploy["prod"]["with"]["image"] == deploy["dev"]["with"]["image"]
    assert deploy["prod"]["uses"] == deploy["dev"]["uses"]


def test_no_two_deployments_of_an_environment_and_none_is_cut_off() -> None:
    deploy = content(GITHUB / "workflows" / "deploy.yml")["jobs"]
    for environment in ("dev", "prod"):
        job = deploy[environment]
        assert job["with"]["environment"] == environment
        # Of the whole: between a plan and its deployment, none of another commit comes.
        assert job["concurrency"] == {"group": f"deploy-{environment}", "cancel-in-progress": False}
    called = content(GITHUB / "workflows" / "deploy_environment.yml")
    assert not [name for name, job in called["jobs"].items() if "concurrency" in job]  # it would wait for itself


def test_what_is_deployed_was_shown_before_it_was_approved() -> None:
    called = content(GITHUB / "workflows" / "deploy_environment.yml")["jobs"]
    assert "environment" not in called["plan"]
    assert called["deploy"]["environment"] == "${{ inputs.environment }}"
    assert called["deploy"]["needs"] == "plan"
    assert "totes-preview-" in str(called["plan"]) and "totes-deploy-" not in str(called["plan"])
    assert "GITHUB_STEP_SUMMARY" in str(called["plan"])
    commands = " ".join(step.get("run", "") for step in called["deploy"]["steps"])
    assert "sha256sum --check" in commands
    assert "terraform apply" not in commands  # only by the scripts that apply what was reviewed
    assert commands.index("migrate.sh") < commands.index('apply_as_reviewed.sh" roll_out.tfplan')
    assert "upload-artifact" not in "".join(file.read_text() for file in WORKFLOWS)


def test_what_reads_logins_runs_on_main_alone() -> None:
    for name, job in jobs():
        if "totes-preview-" in str(job):
            assert name in {"deploy_environment.yml: plan", "drift.yml: drift"}
    drift = content(GITHUB / "workflows" / "drift.yml")["jobs"]["drift"]
    assert "github.ref == 'refs/heads/main'" in drift["if"]
