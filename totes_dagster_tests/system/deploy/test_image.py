"""The image's files, read and linted: cheap to look at each time. `test_built_image.py` looks at the image itself."""

import re
import ssl
import subprocess
import sysconfig
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from docker.utils.build import exclude_paths

from totes_dagster_tests.system.deploy.image_build import AUTHORITIES, DOCKERFILE, PROJECT

COMMANDS = ("dagster-webserver", "totes-webserver", "dagster-daemon", "totes-code-server", "dagster", "totes")
"""What services, runs and one-off tasks are started by."""


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments, on one line."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def copied() -> set[str]:
    """What is copied from the project, and not from another stage."""
    return {source for rest in arguments("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]}


@pytest.fixture(scope="module")
def let_in() -> set[str]:
    """The files that Docker would send to the build."""
    patterns = (PROJECT / ".dockerignore").read_text().splitlines()
    paths = exclude_paths(str(PROJECT), [line for line in patterns if line and not line.startswith("#")])
    return {path for path in paths if (PROJECT / path).is_file()}


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sysconfig.get_path("scripts"), "hadolint")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_no_rule_of_the_linter_is_switched_off() -> None:
    assert "hadolint" not in DOCKERFILE.read_text()
    assert not list(PROJECT.glob(".hadolint*"))


def test_all_stages_stand_on_one_base_of_an_exact_version() -> None:
    base, *others = arguments("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})? AS base", base)
    stages = {"base", *(re.findall(r"AS (\w+)", " ".join(others)))}
    assert {other.split()[0] for other in others} <= stages
    # Once, so that a bot which looks for newer ones changes all there is to change.
    assert DOCKERFILE.read_text().count(f"FROM {base.split()[0]}") == 1


def test_its_user_is_a_number_and_not_root() -> None:
    # By a name, an orchestrator could not tell that it is not root.
    (user,) = arguments("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


def test_the_locked_dependencies_are_installed_and_nothing_else() -> None:
    steps = [step.strip() for run in arguments("RUN") for step in run.split("&&")]
    installs = [step for step in steps if step.startswith("pip ") and re.search(r" (install|wheel) ", step)]
    assert all("--no-deps" in install for install in installs)
    dependencies, tool_to_build_with, *of_the_project = installs
    assert "--require-hashes -r requirements/image.txt" in dependencies
    assert "--require-hashes -r requirements/build.txt" in tool_to_build_with
    assert [bool(re.search("--no-build-isolation|--no-index", install)) for install in of_the_project] == [True, True]


def test_what_is_copied_is_there_and_let_in(let_in: set[str]) -> None:
    for source in copied():
        assert any(path == source or path.startswith(f"{source}/") for path in let_in), source


def test_what_is_let_in_is_copied(let_in: set[str]) -> None:
    # Another file would be sent to the build, and might be a secret.
    unused = {path for path in let_in if not any(path == s or path.startswith(f"{s}/") for s in copied())}
    assert unused - {"Dockerfile", ".dockerignore"} == set()  # these are always sent
    assert not [path for path in let_in if "__pycache__" in path]


def test_the_whole_package_and_all_that_deploying_needs_is_let_in(let_in: set[str]) -> None:
    found = [path for folder in ("totes_dagster", "deploy") for path in (PROJECT / folder).rglob("*.*")]
    files = {str(path.relative_to(PROJECT)) for path in found if path.suffix in {".py", ".sql", ".yaml", ".pem"}}
    assert files - let_in == {"deploy/image/rds_authorities.py"}  # which is run outside


def test_each_command_is_a_script_that_an_installed_package_brings() -> None:
    assert set(COMMANDS) <= {script.name for script in entry_points(group="console_scripts")}


def test_task_definitions_start_just_these() -> None:
    files = list((PROJECT / "terraform" / "modules").glob("*/*.tf"))
    sources = "".join(file.read_text() for file in files)
    started = {*re.findall(r'\bcommand\s*=\s*\[\s*"([^"]+)"', sources), *re.findall(r'"(\w+-webserver)"', sources)}
    assert started - {"CMD"} == set(COMMANDS)  # which the commands of health checks begin with


def test_a_file_of_authorities_that_task_definitions_name_is_there() -> None:
    files = (PROJECT / "terraform" / "modules").glob("*/*.tf")
    named = {name for file in files for name in re.findall(r'PGSSLROOTCERT\s*=\s*"([^"]+)"', file.read_text())}
    assert named == {rest.split()[1] for rest in arguments("COPY") if rest.startswith("deploy/image/rds-authorities")}


def test_the_authorities_are_those_of_amazon_rds_and_last() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(AUTHORITIES)
    authorities: list[dict[str, Any]] = context.get_ca_certs()
    assert len(authorities) == AUTHORITIES.read_text().count("BEGIN CERTIFICATE") > 0
    in_five_years = time.time() + 5 * 366 * 24 * 3600
    for authority in authorities:
        assert authority["subject"] == authority["issuer"]  # a root
        names = {key: value for ((key, value),) in authority["subject"]}
        assert names["organizationName"] == "Amazon Web Services, Inc."
        assert re.fullmatch(r"Amazon RDS [a-z]+-[a-z]+-\d Root CA (RSA2048|RSA4096|ECC384) G1", names["commonName"])
        assert ssl.cert_time_to_seconds(str(authority["notAfter"])) > in_five_years
