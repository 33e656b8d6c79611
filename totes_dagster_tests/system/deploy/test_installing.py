"""How `make` installs: who gets what, from which index, and by which program."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def install() -> Any:
    """The program that the Makefile runs, as a module."""
    spec = spec_from_file_location("install", ROOT / "requirements" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("target", "lock"),
    [
        ("demo", "runtime"),
        ("dev", "dashboard"),
        ("dashboard", "dashboard"),
        ("refresh", "runtime"),
        ("install", "dev"),
        ("test", "dev"),
        ("lint", "dev"),
    ],
)
def test_a_user_gets_what_the_platform_runs_on_and_a_developer_the_rest(target: str, lock: str) -> None:
    command = ["make", "--dry-run", "--always-make", target]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    steps = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in steps.splitlines() if "install.py" in line] == [lock]


def test_every_package_of_the_runtime_is_locked_alike_for_developers() -> None:
    runtime, dashboard, dev = (
        {line.split()[0] for line in (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines() if "==" in line}
        for lock in ("runtime", "dashboard", "dev")
    )
    assert runtime < dashboard < dev


def test_uv_uses_the_index_that_pip_is_configured_for(install: Any) -> None:
    settings = "\n".join(
        [
            "WARNING: a line that is no setting",
            ":env:.disable-pip-version-check='1'",
            ":env:.index-url='https://user:it%27s@env.example.com/simple'",
            "global.extra-index-url='\\nhttps://a.example.com/simple\\nhttps://b.example.com/simple'",
            "global.find-links='/wheels /more'",
            "global.index-url='https://global.example.com/simple'",
            "global.trusted-host='a.example.com b.example.com'",
            "install.cert='/certs/ours.pem'",
        ]
    )
    environment = install.uv_environment(settings, {"PATH": "/bin", "SSL_CERT_FILE": "/certs/mine.pem"})
    assert environment == {
        "PATH": "/bin",
        "SSL_CERT_FILE": "/certs/mine.pem",  # what the environment says to uv counts
        "UV_DEFAULT_INDEX": "https://user:it%27s@env.example.com/simple",
        "UV_INDEX": "https://a.example.com/simple https://b.example.com/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "a.example.com b.example.com",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_where_python_may_not_write_compiled_files_uv_does(install: Any) -> None:
    assert "UV_COMPILE_BYTECODE" not in install.uv_environment("", {})
    assert install.uv_environment("", {"PYTHONDONTWRITEBYTECODE": "1"})["UV_COMPILE_BYTECODE"] == "1"


@pytest.mark.parametrize("tool", ["uv", "setuptools"])
def test_what_installs_is_pinned_with_its_hashes(install: Any, tool: str) -> None:
    first, *hashes = install.pinned(tool).splitlines()
    assert first.startswith(f"{tool}==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


def test_where_uv_is_not_to_be_had_pip_installs_and_says_so(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "nothing.txt").write_text("# nothing\n")
    (tmp_path / "requirements" / "dev.txt").write_text(install.pinned("uv"))
    monkeypatch.setattr(install, "PROJECT", tmp_path)
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": os.fspath(tmp_path), "PIP_NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    install.main("nothing", folder)
    assert "Without uv, pip installs, which takes longer.\n" in capfd.readouterr().out
    assert (folder / "nothing").exists()
