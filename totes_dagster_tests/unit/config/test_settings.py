"""Settings: all of them, none, or a refusal that names what is missing; secrets that never show."""

import itertools
import json
import traceback
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from moto import mock_aws
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.config.platform import platform_from_environment, source_database, warehouse_database
from totes_dagster.config.settings import is_configured, retry_seconds, url_from_secret
from totes_dagster.errors import SettingsError

ALL = {
    "TOTESYS_URL": "postgresql://reader:s3cret-t@source.example.com/totesys",
    "WAREHOUSE_URL": "postgresql://writer:s3cret-w@warehouse.example.com/analytics",
    "TOTES_INGESTION_LAKE": "file:///tmp/totes-tests-settings/ingestion",
    "TOTES_PROCESSED_LAKE": "file:///tmp/totes-tests-settings/processed",
}
SECRETS = {"TOTESYS_SECRET_ID": "totesys-secret", "WAREHOUSE_SECRET_ID": "warehouse-secret"}
SECRET = {"host": "db.example.com", "port": 5433, "user": "reader", "password": "s3cret", "database": "totesys"}


def test_any_set_of_settings_is_complete_empty_or_refused_by_what_it_lacks() -> None:
    names = [*ALL, *SECRETS]
    for chosen in itertools.chain.from_iterable(itertools.combinations(names, size) for size in range(len(names) + 1)):
        environment = {name: (ALL | SECRETS)[name] for name in chosen}
        lacking = [name for name in ALL if name not in chosen and name.replace("_URL", "_SECRET_ID") not in chosen]
        if not lacking:
            assert is_configured(environment)
        elif not chosen:
            assert not is_configured(environment)
        else:
            with pytest.raises(SettingsError) as refused:
                is_configured(environment)
            for name in ALL:
                assert (name in str(refused.value)) == (name in lacking)
            assert "s3cret" not in str(refused.value)


def test_other_variables_and_empty_ones_say_nothing() -> None:
    assert not is_configured(
        {"PATH": "/bin", "WAREHOUSE_SCHEMA": "analytics", "TOTES_HOME": "/tmp", **dict.fromkeys(ALL, "")}
    )


def test_the_platform_is_what_the_environment_names() -> None:
    platform = platform_from_environment({**ALL, "WAREHOUSE_SCHEMA": "analytics"})
    assert (platform.source.url, platform.warehouse.database.url) == (ALL["TOTESYS_URL"], ALL["WAREHOUSE_URL"])
    assert (platform.lake.ingestion.url, platform.lake.processed.url) == (
        ALL["TOTES_INGESTION_LAKE"],
        ALL["TOTES_PROCESSED_LAKE"],
    )
    assert platform.warehouse.schema == "analytics"
    assert not platform.embedded
    assert "s3cret" not in repr(platform)


@pytest.mark.parametrize("schema", [{}, {"WAREHOUSE_SCHEMA": ""}])
def test_the_warehouse_is_in_public_unless_it_is_said_where(schema: dict[str, str]) -> None:
    assert platform_from_environment({**ALL, **schema}).schema == "public"


def test_half_a_platform_is_refused_and_not_mixed_with_the_embedded_one() -> None:
    with pytest.raises(SettingsError, match="WAREHOUSE_URL or WAREHOUSE_SECRET_ID"):
        platform_from_environment({name: value for name, value in ALL.items() if name != "WAREHOUSE_URL"})


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager, empty."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    with mock_aws():
        yield boto3.client("secretsmanager")


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        {
            "engine": "postgres",
            "host": "db.example.com",
            "port": 5433,
            "username": "reader",
            "password": "s3cret",
            "dbname": "totesys",
            "dbInstanceIdentifier": "totesys-1",
        },
        {
            "hostname": "db.example.com",
            "port": "5433",
            "username": "reader",
            "password": "s3cret",
            "database": "totesys",
        },
        {**SECRET, "hostname": "", "user": None, "username": "reader"},
    ],
    ids=["ours", "as RDS spells it", "port as text", "empty and null are absent"],
)
def test_a_secret_is_understood_in_every_spelling(secrets: Any, secret: dict[str, Any]) -> None:
    secrets.create_secret(Name="totesys-secret", SecretString=json.dumps(secret))
    assert conninfo_to_dict(url_from_secret("totesys-secret")) == {
        "host": "db.example.com",
        "port": "5433",
        "user": "reader",
        "password": "s3cret",
        "dbname": "totesys",
    }


@hypothesis_settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
def test_a_password_may_hold_any_character(secrets: Any, password: str) -> None:
    name = f"secret-{len(secrets.list_secrets(MaxResults=100)['SecretList'])}"
    secrets.create_secret(Name=name, SecretString=json.dumps({**SECRET, "password": password}))
    assert conninfo_to_dict(url_from_secret(name))["password"] == password
    secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def refusal(secret_id: str) -> str:
    """The message with which a secret is refused, after seeing that nothing of it shows in the traceback either."""
    with pytest.raises(SettingsError, match=f"secret {secret_id} ") as refused:
        url_from_secret(secret_id)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))
    return str(refused.value)


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("host", "host or hostname"),
        ("port", "port"),
        ("user", "user or username"),
        ("password", "password"),
        ("database", "database or dbname"),
    ],
)
def test_what_a_secret_lacks_is_named(secrets: Any, key: str, named: str) -> None:
    secret = {name: value for name, value in SECRET.items() if name != key}
    secrets.create_secret(Name="totesys-secret", SecretString=json.dumps(secret))
    assert refusal("totesys-secret") == f"The secret totesys-secret has no {named}. Add it to the object."


@pytest.mark.parametrize("content", ["s3cret", '{"password": "s3cret"', '["s3cret"]', '"s3cret"'])
def test_a_secret_of_another_form_is_refused_without_showing_it(secrets: Any, content: str) -> None:
    secrets.create_secret(Name="totesys-secret", SecretString=content)
    assert "is not a JSON object" in refusal("totesys-secret")


def test_a_binary_secret_is_refused(secrets: Any) -> None:
    secrets.create_secret(Name="totesys-secret", SecretBinary=json.dumps(SECRET).encode())
    assert "key/value" in refusal("totesys-secret")


def test_a_secret_that_is_not_there_is_named(secrets: Any) -> None:
    assert "ResourceNotFoundException" in refusal("totesys-secret")


def test_without_a_region_the_secret_cannot_be_read_and_that_is_said(
    secrets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    assert "region" in refusal("totesys-secret")


@pytest.mark.parametrize(("make", "name"), [(source_database, "totesys"), (warehouse_database, "warehouse")])
def test_a_database_comes_from_its_url_before_its_secret(secrets: Any, make: Any, name: str) -> None:
    secrets.create_secret(Name="a-secret", SecretString=json.dumps(SECRET))
    assert make(secret_id="a-secret").name == name
    assert conninfo_to_dict(make(secret_id="a-secret").url)["user"] == "reader"
    assert make("postgresql://other@host/db", "a-secret").url == "postgresql://other@host/db"


@pytest.mark.parametrize(("given", "seconds"), [({}, 25.0), ({"TOTES_RETRY_SECONDS": ""}, 25.0)])
def test_the_usual_patience_holds_unless_another_is_asked_for(given: dict[str, str], seconds: float) -> None:
    assert retry_seconds(default=25.0, environment=given) == seconds
    assert retry_seconds(default=25.0, environment={"TOTES_RETRY_SECONDS": "0"}) == 0
    assert retry_seconds(default=25.0, environment={"TOTES_RETRY_SECONDS": "1.5"}) == 1.5


@pytest.mark.parametrize("given", ["-1", "soon", "nan", "inf", "1s"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match=f"TOTES_RETRY_SECONDS is '{given}': give a number of seconds"):
        retry_seconds(default=25.0, environment={"TOTES_RETRY_SECONDS": given})
