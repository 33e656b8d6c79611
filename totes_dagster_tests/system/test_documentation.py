"""What the documentation names is there: files, tests, pictures, commands."""

import re
from pathlib import Path

import pytest

from totes_dagster.cli.commands import main

ROOT = Path(__file__).parents[2]
TESTS = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_files_that_are_named_exist(page: Path) -> None:
    # In worked examples, a migration that the reader is to write.
    text = re.sub(r"\d{4}_commercial_contact.py", "<yours>", page.read_text())
    named = re.findall(r"`(?:totes_dagster/|deploy/|docs/|benchmarks/)[\w./-]+`", text)
    assert [name for name in named if not (ROOT / name.strip("`")).exists()] == []


def test_tests_that_are_named_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    named = re.findall(r"`((?:\w+/)*)(test_\w+\.py)`", text)
    assert len(named) > 10
    assert [folder + name for folder, name in named if not (TESTS / folder / name).exists()] == []


def test_commands_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
    assert set(re.findall(r"`totes ([a-z]+)", text)) <= set(main.commands)


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in main.commands if f"`totes {name}" not in text and f"make {name}" not in text] == []
