"""Secrets: understood in every spelling, refused by what they lack, and never shown."""

import json
import traceback
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.aws.secrets import url_from_secret
from totes_dagster.errors import SettingsError
from totes_dagster_tests.unit.secrets_manager import SECRET, secrets

__all__ = ["secrets"]


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


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
