"""Where the platform finds its databases and its lake: the environment, or the embedded stack where it says nothing."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from psycopg.conninfo import make_conninfo

from totes_dagster.aws import sessions as aws
from totes_dagster.errors import (
    CredentialsMissingError,
    SecretAccessDeniedError,
    SecretError,
    SecretFormatError,
    SecretIncompleteError,
    SecretMissingError,
    SettingsError,
    one_line,
)

TOTESYS_URL = "TOTESYS_URL"
TOTESYS_SECRET_ID = "TOTESYS_SECRET_ID"  # a name, no secret  # noqa: S105  # nosec B105
WAREHOUSE_URL = "WAREHOUSE_URL"
WAREHOUSE_SECRET_ID = "WAREHOUSE_SECRET_ID"  # noqa: S105  # nosec B105
WAREHOUSE_ADMIN_SECRET_ID = "WAREHOUSE_ADMIN_SECRET_ID"  # noqa: S105  # nosec B105
WAREHOUSE_SCHEMA = "WAREHOUSE_SCHEMA"
STORAGE_SECRET_ID = "DAGSTER_POSTGRES_SECRET_ID"  # noqa: S105  # nosec B105
STORAGE_ADMIN_SECRET_ID = "DAGSTER_POSTGRES_ADMIN_SECRET_ID"  # noqa: S105  # nosec B105
INGESTION_LAKE = "TOTES_INGESTION_LAKE"
PROCESSED_LAKE = "TOTES_PROCESSED_LAKE"
HOME = "TOTES_HOME"
RETRY_SECONDS = "TOTES_RETRY_SECONDS"
ALERT_TOPIC = "TOTES_ALERT_TOPIC"
UI_URL = "TOTES_UI_URL"
METRICS_NAMESPACE = "TOTES_METRICS_NAMESPACE"

_REQUIRED = (
    (TOTESYS_URL, TOTESYS_SECRET_ID),
    (WAREHOUSE_URL, WAREHOUSE_SECRET_ID),
    (INGESTION_LAKE,),
    (PROCESSED_LAKE,),
)

_SPELLINGS = {
    "host": ("host", "hostname"),
    "port": ("port",),
    "user": ("user", "username"),
    "password": ("password",),
    "dbname": ("database", "dbname"),
}
"""Keys of a secret, by the names libpq has for them: ours, and those of secrets that RDS manages."""

_DENIED = aws.DENIED | {"DecryptionFailure"}


_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")


def is_configured(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names databases and lake; if it names none of them, the embedded stack serves.

    Raises:
        SettingsError: it names some, but not all. Real data is not to be mixed with the embedded stack's by oversight.
    """
    missing = [names for names in _REQUIRED if not any(environment.get(name) for name in names)]
    if missing and len(missing) < len(_REQUIRED):
        raise SettingsError(
            f"Some settings are given, but these are missing: {', '.join(' or '.join(names) for names in missing)}. "
            "Set all of them, or none to use the embedded stack."
        )
    return not missing


def retry_seconds(*, unless_set: float, environment: Mapping[str, str] = os.environ) -> float:
    """How long to go on trying what fails of something that may pass; 0 for not at all.

    Raises:
        SettingsError: the environment gives what is no such number.
    """
    given = environment.get(RETRY_SECONDS)
    if not given:
        return unless_set
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise SettingsError(f"{RETRY_SECONDS} is {given!r}: give a number of seconds, 0 for no retries.")
    return seconds


def topic_region(topic: str) -> str:
    """The region of an SNS topic, by its ARN.

    Raises:
        SettingsError: that is not the ARN of a topic that alerts can go to.
    """
    found = _TOPIC.fullmatch(topic)
    if not found:
        raise SettingsError(
            f"{ALERT_TOPIC} is {one_line(repr(topic))} That is not the ARN of an SNS topic, which looks like "
            "arn:aws:sns:eu-west-2:123456789012:alerts."
        )
    if found[2]:
        raise SettingsError(f"{ALERT_TOPIC} is {topic}: a FIFO topic sends no e-mails. Name a standard one.")
    return found[1]


def ui_address(url: str) -> str:
    """The address of Dagster's UI that links begin with.

    Raises:
        SettingsError: it is none, or holds credentials, which would be in every alert.
    """
    with suppress(ValueError):  # of a port or an IPv6 address that is none
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and not re.search(r"[\s@?#]", url)
        if plain and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return url.rstrip("/")
    raise SettingsError(
        f"{UI_URL} is {one_line(repr(url))} Give the address of Dagster's UI without credentials, "
        "like https://dagster.example.com."
    )


def url_from_secret(secret_id: str) -> str:
    """The connection string that a secret in AWS Secrets Manager describes.

    The secret is a JSON object with host, port, user (or username), password and database (or dbname).

    Raises:
        SecretError: the secret cannot be read, or lacks something. The message never shows what is in it.
        CredentialsMissingError: there are no AWS credentials to read it with.
    """
    options = _options_from_secret(secret_id, _SPELLINGS)
    if not options["port"].isdecimal():
        raise SecretFormatError(f"The secret {secret_id} has a port that is not a number.")
    return make_conninfo(**options)


def administrator_from_secret(secret_id: str) -> tuple[str, str]:
    """The name and the password that a secret in AWS Secrets Manager holds, such as those that RDS makes and rotates.

    Raises:
        SecretError: the secret cannot be read, or lacks something. The message never shows what is in it.
        CredentialsMissingError: there are no AWS credentials to read it with.
    """
    options = _options_from_secret(secret_id, ("user", "password"))
    return options["user"], options["password"]


def _options_from_secret(secret_id: str, names: Iterable[str]) -> dict[str, str]:
    """What a secret says, by the names that libpq has for it."""
    text = _secret_string(secret_id)
    secret: Any = None
    # What json raises would quote the secret.
    with suppress(json.JSONDecodeError):
        secret = json.loads(text)
    if not isinstance(secret, dict):
        raise SecretFormatError(f"The secret {secret_id} is not a JSON object. Store it as a key/value secret.")
    options = {name: _value(secret, name, secret_id) for name in names}
    # libpq would take a NUL for the end, and connect to whatever is named before it.
    if any("\0" in value or not can_be_encoded(value) for value in options.values()):
        raise SecretFormatError(f"The secret {secret_id} holds a character that no connection string can.")
    return options


def can_be_encoded(text: str) -> bool:
    """Whether a text is Unicode: bytes of the environment that are no UTF-8 arrive as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _secret_string(secret_id: str) -> str:
    # Slow to import, and needed only where secrets are kept there.
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

    # The SDK's own idea is to wait for a minute, five times over.
    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    try:
        answer = aws.new_session().client("secretsmanager", config=config).get_secret_value(SecretId=secret_id)
    except ClientError as error:
        raise _refusal(secret_id, *aws.refusal(error)) from None
    except NoCredentialsError as error:
        raise CredentialsMissingError(
            f"The secret {secret_id} cannot be read without AWS credentials. Set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or give the task a role."
        ) from error
    except (BotoCoreError, ValueError) as error:  # the latter of an endpoint that is none
        raise SecretError(
            f"The secret {secret_id} cannot be read from Secrets Manager: {aws.failure(error)} Check the region, "
            "AWS_ENDPOINT_URL and the network."
        ) from None
    return str(answer.get("SecretString", ""))


def _refusal(secret_id: str, code: str, reason: str) -> SecretError:
    """Name a refusal by Secrets Manager."""
    could_not = f"The secret {secret_id} cannot be read from Secrets Manager: {reason}"
    if code == "ResourceNotFoundException":
        return SecretMissingError(f"{could_not} Check its name, the region and the account, or create it.")
    if code in _DENIED:
        return SecretAccessDeniedError(
            f"{could_not} Allow secretsmanager:GetSecretValue, and kms:Decrypt with its key."
        )
    if code in aws.BAD_CREDENTIALS:
        return SecretAccessDeniedError(f"{could_not} Renew the AWS credentials, or choose others by AWS_PROFILE.")
    return SecretError(could_not)


def _value(secret: dict[str, Any], name: str, secret_id: str) -> str:
    for spelling in _SPELLINGS[name]:
        if secret.get(spelling) not in (None, ""):
            return str(secret[spelling])
    raise SecretIncompleteError(f"The secret {secret_id} has no {' or '.join(_SPELLINGS[name])}. Add it to the object.")
