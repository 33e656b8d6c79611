"""Every way in which a secret cannot be read from Secrets Manager, and that nothing of it shows."""

import json
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from totes_dagster.aws.secrets import url_from_secret
from totes_dagster.errors import (
    CredentialsMissingError,
    SecretAccessDeniedError,
    SecretError,
    SecretFormatError,
    SecretIncompleteError,
    SecretMissingError,
    TotesError,
)
from totes_dagster_tests.exposure import assert_clear
from totes_dagster_tests.s3_front import Answer, in_front_of
from totes_dagster_tests.settings import without_credentials

PASSWORD = "p@ss/w0rd"
TOKEN = "FwoGZXIvYXdzEBYaDKq/N0t+Sh0wn=="
SECRET = {"host": "db.example.com", "port": 5432, "user": "reader", "password": PASSWORD, "database": "totesys"}


@pytest.fixture
def secrets(object_store: str, bucket: str) -> Any:
    """Secrets Manager, on the server that the environment points the AWS SDKs to."""
    return boto3.client("secretsmanager")


def refused(name: str, kind: type[TotesError], *words: str) -> None:
    with pytest.raises(TotesError) as raised:
        url_from_secret(name)
    error = assert_clear(raised.value, PASSWORD, TOKEN)
    assert type(error) is kind, error
    for word in (f"The secret {name} ", *words):
        assert word in str(error)


def test_a_missing_secret_is_said(secrets: Any) -> None:
    refused("nowhere", SecretMissingError, "ResourceNotFoundException: ", "Check its name, the region and the account")


@pytest.mark.parametrize("content", [PASSWORD, json.dumps(SECRET)[:-2], json.dumps([SECRET]), json.dumps(PASSWORD)])
def test_a_secret_that_is_no_json_object_is_said(secrets: Any, content: str) -> None:
    name = f"odd-{abs(hash(content))}"
    secrets.create_secret(Name=name, SecretString=content)
    refused(name, SecretFormatError, "is not a JSON object. Store it as a key/value secret.")


def test_a_secret_that_lacks_a_key_is_said(secrets: Any) -> None:
    secrets.create_secret(Name="incomplete", SecretString=json.dumps({**SECRET, "host": ""}))
    refused("incomplete", SecretIncompleteError, "has no host or hostname.")


def test_a_secret_whose_keys_were_mixed_up_is_said(secrets: Any) -> None:
    secrets.create_secret(Name="mixed-up", SecretString=json.dumps({**SECRET, "port": PASSWORD}))
    refused("mixed-up", SecretFormatError, "has a port that is not a number.")


def test_a_secret_that_one_may_not_read_is_said(guarded: None) -> None:
    refused("any", SecretAccessDeniedError, "403", "Allow secretsmanager:GetSecretValue")


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/x is not authorized to perform: secretsmanager:GetSecretValue",
            ("AccessDeniedException: User: arn:aws:iam::1:user/x is not", "Allow secretsmanager:GetSecretValue"),
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            ("The security token included in the request is invalid.", "Renew the AWS credentials"),
        ),
        # A signature that does not fit is answered with the request as AWS would have signed it, token and all.
        (
            "InvalidSignatureException",
            "The request signature we calculated does not match.\n\nThe Canonical String for this request should have "
            f"been\n'POST\n/\n\nhost:example\nx-amz-security-token:{TOKEN}\n'",
            ("The request signature we calculated does not match. Renew the AWS credentials",),
        ),
    ],
)
def test_what_aws_says_is_passed_on_but_for_tokens(
    bucket: str, monkeypatch: pytest.MonkeyPatch, code: str, message: str, words: tuple[str, ...]
) -> None:
    body = json.dumps({"__type": code, "message": message}).encode()
    with in_front_of("http://nowhere", lambda *_: Answer(400, body)) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        refused("any", SecretAccessDeniedError, *words)


def test_missing_credentials_are_said(secrets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch)
    refused("any", CredentialsMissingError, "Set AWS_PROFILE or AWS_ACCESS_KEY_ID")


def test_an_unreachable_secrets_manager_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_front_of("http://nowhere", lambda *_: Answer()) as endpoint:
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    refused("any", SecretError, "Could not connect to the endpoint URL", "Check the region, AWS_")


@pytest.mark.parametrize("endpoint", ["http://user:{password}@127.0.0.1:9", "http:/user:{password}@nowhere"])
def test_an_endpoint_with_a_password_does_not_show_it(
    bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.format(password=quote(PASSWORD, safe="")))
    refused("any", SecretError)
