"""Comparing the authorities that the image trusts with those that are published, from a web server of this machine."""

import functools
import http.server
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from totes_dagster_tests.system.deploy.image_build import AUTHORITIES
from totes_dagster_tests.system.errors.certificates import self_signed

LONDON = "Amazon RDS eu-west-2 Root CA RSA2048 G1"


def load() -> ModuleType:
    """The program, which is no module of the package: it runs where the project is not installed."""
    spec = importlib.util.spec_from_file_location("rds_authorities", AUTHORITIES.with_name("rds_authorities.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = load()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file, and the address at which a server publishes it."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "bundle.pem").write_bytes(AUTHORITIES.read_bytes())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder / "bundle.pem", f"http://127.0.0.1:{server.server_port}/bundle.pem"
        server.shutdown()


def without(name: str) -> str:
    roots = program.authorities(AUTHORITIES.read_text())
    del roots[name]
    return program.written(roots)


def test_those_that_are_published_are_trusted(published: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--published", published[1]]) == 0
    assert "ublished, but" not in capsys.readouterr().out


def test_one_that_is_not_published_is_found(published: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    published[0].write_text(without(LONDON))
    assert program.main(["--published", published[1]]) == 1
    assert f"TRUSTED, BUT NOT PUBLISHED: {LONDON}\n" in capsys.readouterr().out


def test_another_certificate_of_the_same_name_is_found(tmp_path: Path, published: tuple[Path, str]) -> None:
    self_signed(LONDON, tmp_path)
    ours = tmp_path / "ours.pem"
    ours.write_text(without(LONDON) + (tmp_path / f"{LONDON}.crt").read_text())
    assert program.main(["--published", published[1], "--ours", str(ours)]) == 1


def test_a_new_region_is_said_and_can_be_taken_over(
    tmp_path: Path, published: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ours = tmp_path / "ours.pem"
    ours.write_text(without(LONDON))
    arguments = ["--published", published[1], "--ours", str(ours)]
    assert program.main(arguments) == 0
    assert f"Published, but not trusted: {LONDON}\n" in capsys.readouterr().out
    assert program.main([*arguments, "--write"]) == 0
    assert ours.read_text() == AUTHORITIES.read_text()


def test_what_is_no_bundle_replaces_nothing(tmp_path: Path, published: tuple[Path, str]) -> None:
    published[0].write_text("<html>An error of the server's</html>")
    ours = tmp_path / "ours.pem"
    ours.write_bytes(AUTHORITIES.read_bytes())
    with pytest.raises(ValueError, match="no certificate"):
        program.main(["--published", published[1], "--ours", str(ours), "--write"])
    assert ours.read_bytes() == AUTHORITIES.read_bytes()
