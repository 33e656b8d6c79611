"""Every folder of Terraform by itself: as `terraform fmt` would have it, valid, and with its own tests passed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from terraform.tests.commands import TERRAFORM, Root, copied, provider_at_work

ROOTS = sorted(
    str(folder.relative_to(TERRAFORM))
    for folder in {file.parent for file in TERRAFORM.rglob("versions.tf")}
    if ".terraform" not in folder.parts
)
"""Folders that can be initialised by themselves."""

MODULES = [root for root in ROOTS if not root.startswith("envs/") and root != "bootstrap/rights"]
"""Those that have tests of their own: all but the environments, which are applied whole, and a list that is tested with
the policies that are made of it."""


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("modules"))


@pytest.fixture(scope="session")
def asking_nobody(copy: Path, settings: dict[str, str]) -> Iterator[dict[str, str]]:
    """Settings for what asks nobody: to validate, and the modules' own tests, which mock the provider."""
    key = copy / "modules" / "key"
    Root(key, settings).run("init", "-no-color")
    with provider_at_work(key, copy / "provider.log") as provider:
        yield {**settings, **provider, "AWS_REGION": "eu-west-2"}


def test_all_of_it_is_formatted(settings: dict[str, str]) -> None:
    assert Root(TERRAFORM, settings).run("fmt", "-check", "-recursive", "-diff") == ""


@pytest.mark.parametrize("root", ["bootstrap", "envs/dev", "envs/prod"])
def test_it_is_valid_with_all_modules_that_it_calls(
    copy: Path, root: str, settings: dict[str, str], asking_nobody: dict[str, str]
) -> None:
    # All modules are called, so it is here that each is found to accept the version of the provider.
    Root(copy / root, settings).run("init", "-no-color", "-backend=false")
    assert "The configuration is valid" in Root(copy / root, asking_nobody).run("validate", "-no-color")


# The one that puts all others together takes as long as most of them.
@pytest.mark.parametrize(
    "root", [pytest.param(root, marks=pytest.mark.slow) if root == "modules/platform" else root for root in MODULES]
)
def test_its_own_tests_pass(copy: Path, root: str, asking_nobody: dict[str, str]) -> None:
    found = Root(copy / root, asking_nobody)
    found.run("get", "-no-color")  # the modules that it calls
    said = found.run("test", "-no-color")
    assert "Success!" in said
    assert "Success! 0 passed" not in said


@pytest.mark.parametrize("root", ROOTS)
def test_every_variable_and_output_is_described(root: str) -> None:
    for file in (TERRAFORM / root).glob("*.tf"):
        blocks = file.read_text().split("\n}\n")
        undescribed = [
            block.strip().splitlines()[0]
            for block in blocks
            if block.strip().startswith(("variable ", "output ")) and "description" not in block
        ]
        assert undescribed == [], file


def test_only_one_provider_is_used() -> None:
    for file in TERRAFORM.rglob("versions.tf"):
        if ".terraform" not in file.parts and file.parent.name != "rights":  # which has none
            assert [line for line in file.read_text().splitlines() if " source " in line] == [
                '      source  = "hashicorp/aws"'
            ]


def test_the_environments_differ_in_what_they_pass_and_in_nothing_else() -> None:
    dev, prod = (TERRAFORM / "envs" / name for name in ("dev", "prod"))
    for name in ("variables.tf", "outputs.tf"):
        assert (dev / name).read_text() == (prod / name).read_text()
    assert (dev / "versions.tf").read_text().replace("dev", "prod") == (prod / "versions.tf").read_text()
