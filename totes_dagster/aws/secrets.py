"""Secrets in AWS Secrets Manager: database connection strings and administrators' logins.

Which secret is read, and when, belongs to `config/` and `orchestration/`.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from psycopg.conninfo import make_conninfo

from totes_dagster.aws import sessions as aws
from totes_dagster.errors import (
    CredentialsMissingError,
    SecretAccessDeniedError,
    SecretError,
    SecretFormatError,
    SecretIncompleteError,
    SecretMissingError,
)

_SPELLINGS = {
    "host": ("host", "hostname"),
    "port": ("port",),
    "user": ("user", "username"),
    "password": ("password",),
    "dbname": ("database", "dbname"),
}
"""Keys of a secret, by libpq's names for them: our own spellings, and those of secrets that RDS manages."""

_DENIED = aws.DENIED | {"DecryptionFailure"}


def url_from_secret(secret_id: str) -> str:
    """The connection string that a secret in AWS Secrets Manager describes.

    The secret is a JSON object with host, port, user (or username), password and database (or dbname).

    Raises:
        SecretError: the secret cannot be read, or lacks a key. The message never shows its content.
        CredentialsMissingError: there are no AWS credentials to read it with.
    """
    options = _options_from_secret(secret_id, _SPELLINGS)
    if not options["port"].isdecimal():
        raise SecretFormatError(f"The secret {secret_id} has a port that is not a number.")
    return make_conninfo(**options)


def administrator_from_secret(secret_id: str) -> tuple[str, str]:
    """The user and the password in a secret, such as those that RDS creates and rotates.

    Raises:
        SecretError: the secret cannot be read, or lacks a key. The message never shows its content.
        CredentialsMissingError: there are no AWS credentials to read it with.
    """
    options = _options_from_secret(secret_id, ("user", "password"))
    return options["user"], options["password"]


def values_from_secret(secret_id: str, names: Iterable[str]) -> dict[str, str]:
    """The values of a secret by their names, each of which it must have.

    Raises:
        SecretError: the secret cannot be read, or lacks a key. The message never shows its content.
        CredentialsMissingError: there are no AWS credentials to read it with.
    """
    secret = _secret(secret_id)
    return {name: _value(secret, (name,), secret_id) for name in names}


def _options_from_secret(secret_id: str, names: Iterable[str]) -> dict[str, str]:
    """The values of a secret, by libpq's names for them."""
    secret = _secret(secret_id)
    options = {name: _value(secret, _SPELLINGS[name], secret_id) for name in names}
    # libpq would take a NUL for the end, and connect to what the part before it names.
    if any("\0" in value or not can_be_encoded(value) for value in options.values()):
        raise SecretFormatError(f"The secret {secret_id} contains a character that no connection string can hold.")
    return options


def _secret(secret_id: str) -> dict[str, Any]:
    """A secret that is a JSON object."""
    text = _secret_string(secret_id)
    secret: Any = None
    # json's errors quote the secret.
    with suppress(json.JSONDecodeError):
        secret = json.loads(text)
    if not isinstance(secret, dict):
        raise SecretFormatError(f"The secret {secret_id} is not a JSON object. Store it as a key/value secret.")
    return secret


def can_be_encoded(text: str) -> bool:
    """Whether a text is valid Unicode: bytes of the environment that are not UTF-8 arrive as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_value(secret_id: str) -> bool:
    """Whether a secret has a value yet; one that was only created has none.

    Raises:
        SecretError: the secret does not exist, or cannot be looked up.
        CredentialsMissingError: there are no AWS credentials to look it up with.
    """
    described = _asked(secret_id, lambda manager: manager.describe_secret(SecretId=secret_id))
    return bool(described.get("VersionIdsToStages"))


def put_secret(secret_id: str, values: Mapping[str, str]) -> None:
    """Give a secret a value: a JSON object.

    Raises:
        SecretError: the secret cannot be written.
        CredentialsMissingError: there are no AWS credentials to write it with.
    """
    text = json.dumps(dict(values))
    _asked(secret_id, lambda manager: manager.put_secret_value(SecretId=secret_id, SecretString=text))


def _secret_string(secret_id: str) -> str:
    answer = _asked(secret_id, lambda manager: manager.get_secret_value(SecretId=secret_id))
    return str(answer.get("SecretString", ""))


def _asked(secret_id: str, request: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The answer of Secrets Manager to a request about a secret."""
    # Slow to import, and needed only where secrets are kept there.
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

    # By default the SDK waits a minute, five times.
    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    try:
        return request(aws.new_session().client("secretsmanager", config=config))
    except ClientError as error:
        raise _refusal(secret_id, *aws.refusal(error)) from None
    except NoCredentialsError as error:
        raise CredentialsMissingError(
            f"The secret {secret_id} cannot be read without AWS credentials. Set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or give the task a role."
        ) from error
    except (BotoCoreError, ValueError) as error:  # the latter if the endpoint is not a valid URL
        raise SecretError(
            f"The secret {secret_id} cannot be read from Secrets Manager: {aws.failure(error)} Check the region, "
            "AWS_ENDPOINT_URL and the network."
        ) from None


def _refusal(secret_id: str, code: str, reason: str) -> SecretError:
    """The error for a refusal by Secrets Manager."""
    failure = f"The secret {secret_id} cannot be read from Secrets Manager: {reason}"
    if code == "ResourceNotFoundException":
        return SecretMissingError(f"{failure} Check its name, the region and the account, or create it.")
    if code in _DENIED:
        return SecretAccessDeniedError(f"{failure} Allow secretsmanager:GetSecretValue, and kms:Decrypt with its key.")
    if code in aws.BAD_CREDENTIALS:
        return SecretAccessDeniedError(f"{failure} Renew the AWS credentials, or choose others with AWS_PROFILE.")
    return SecretError(failure)


def _value(secret: dict[str, Any], spellings: Collection[str], secret_id: str) -> str:
    for spelling in spellings:
        if secret.get(spelling) not in (None, ""):
            return str(secret[spelling])
    raise SecretIncompleteError(f"The secret {secret_id} has no {' or '.join(spellings)}. Add it to the object.")
