"""Connections: what is asked of the server, and errors that say what is wrong and never show a password."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.errors import SettingsError, TotesError
from totes_dagster.postgres.database import Database


def asked(url: str) -> dict[str, Any]:
    """The options that libpq gets."""
    return conninfo_to_dict(Database("totesys", url).conninfo())


def failure(url: str) -> TotesError:
    """The error of connecting, after seeing that no password shows anywhere in it."""
    database = Database("totesys", url)
    with pytest.raises(TotesError) as failed, database.connect():
        pass
    assert "s3cret" not in "".join(traceback.format_exception(failed.value))
    return failed.value


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example.com/totesys",
        "postgresql://reader:pw@10.0.0.1:5433/totesys",
        "host=db.example.com dbname=totesys",
        "postgresql://localhost,db.example.com/totesys",
        "postgresql:///totesys?host=db.example.com",
        "postgresql:///totesys?hostaddr=10.0.0.1",
    ],
)
def test_a_remote_server_must_encrypt(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert asked(url)["sslmode"] == "require"


def service_file(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    file = folder / "services.conf"
    file.write_text("\n".join(["[shop]", *lines, ""]))
    monkeypatch.setenv("PGSERVICEFILE", str(file))


@pytest.mark.parametrize("url", ["postgresql:///totesys?service=shop", "postgresql:///totesys"])
@pytest.mark.parametrize(
    ("lines", "sslmode"),
    [
        (["host=db.example.com"], "require"),
        (["hostaddr=192.0.2.7", "host=localhost"], "require"),
        (["host=db.example.com", "sslmode=verify-full"], None),
        (["host=db.example.com", "sslmode=disable"], None),
        (["host=/tmp"], None),
        (["host=127.0.0.2"], None),
    ],
)
def test_a_service_that_leads_to_another_machine_must_encrypt(
    url: str, lines: list[str], sslmode: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    service_file(tmp_path, monkeypatch, *lines)
    if "service" not in url:
        monkeypatch.setenv("PGSERVICE", "shop")
    assert asked(url).get("sslmode") == sslmode


@pytest.mark.parametrize(
    ("environment", "url", "sslmode"),
    [
        ({"PGHOSTADDR": "192.0.2.7"}, "postgresql:///totesys", "require"),
        ({"PGHOSTADDR": "192.0.2.7"}, "postgresql://localhost/totesys", "require"),
        ({"PGHOST": "db.example.com"}, "postgresql:///totesys", "require"),
        ({"PGHOST": "db.example.com"}, "postgresql://localhost/totesys", None),
        ({"PGHOST": "db.example.com", "PGSSLMODE": "prefer"}, "postgresql:///totesys", None),
        ({"PGHOSTADDR": "::1"}, "postgresql://db.example.com/totesys", None),
    ],
)
def test_where_a_connection_goes_counts_and_not_how_that_was_written(
    environment: dict[str, str], url: str, sslmode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert asked(url).get("sslmode") == sslmode


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/totesys",
        "postgresql://127.0.0.1:5433/totesys",
        "postgresql://[::1]/totesys",
        "postgresql:///totesys?host=/tmp",
        "postgresql:///totesys",
        "",
    ],
)
def test_a_server_on_this_machine_need_not(url: str) -> None:
    assert "sslmode" not in asked(url)


@pytest.mark.parametrize("mode", ["disable", "verify-full"])
def test_an_sslmode_that_is_given_is_honoured(mode: str) -> None:
    assert asked(f"postgresql://db.example.com/totesys?sslmode={mode}")["sslmode"] == mode


def test_an_sslmode_that_the_environment_gives_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert asked("postgresql://db.example.com/totesys").get("sslmode") in (None, "verify-full")


def test_what_else_the_url_says_is_kept() -> None:
    url = "postgresql://re%40der:p%2Fw%20d@db.example.com:5433/totesys?connect_timeout=3&application_name=mine"
    assert asked(url) == {
        "user": "re@der",
        "password": "p/w d",
        "host": "db.example.com",
        "port": "5433",
        "dbname": "totesys",
        "connect_timeout": "3",
        "application_name": "mine",
        "client_encoding": "UTF8",
        "sslmode": "require",
    }


def test_connections_have_a_name_and_do_not_wait_for_ever() -> None:
    options = asked("postgresql:///totesys")
    assert options["application_name"] == "totes_dagster"
    assert int(options["connect_timeout"]) > 0


def test_the_url_is_not_in_the_repr() -> None:
    assert repr(Database("totesys", "postgresql://reader:s3cret@db.example.com/totesys")) == "Database(name='totesys')"


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "postgres//reader:s3cret@host/db",
        "postgresql://reader:s3cret@[host/db",
        "postgresql://reader:s3cret%zz@host/db",
        "postgresql://reader:s3cret@host/db?no_such_option=1",
    ],
)
def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    error = failure(url)
    assert isinstance(error, SettingsError)
    assert str(error).startswith("The URL of totesys is not a valid libpq URI")


def test_what_a_block_did_is_kept_only_when_it_ends_well(database: Callable[..., str]) -> None:
    here = Database("totesys", database())
    with here.transaction() as connection:
        connection.execute("create table public.kept (x int)")
    with pytest.raises(ZeroDivisionError), here.transaction() as connection:
        connection.execute("create table public.dropped (x int)")
        raise ZeroDivisionError
    with here.transaction() as again:
        tables = again.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    assert tables == [("kept",)]
    assert connection.closed
