"""Where the platform finds its databases and its lake: the environment, or the embedded stack where it says nothing."""

import json
import os
from collections.abc import Mapping
from typing import Any

from psycopg.conninfo import make_conninfo

from totes_dagster.errors import SettingsError

TOTESYS_URL = "TOTESYS_URL"
TOTESYS_SECRET_ID = "TOTESYS_SECRET_ID"  # a name, no secret  # noqa: S105  # nosec B105
WAREHOUSE_URL = "WAREHOUSE_URL"
WAREHOUSE_SECRET_ID = "WAREHOUSE_SECRET_ID"  # noqa: S105  # nosec B105
WAREHOUSE_SCHEMA = "WAREHOUSE_SCHEMA"
INGESTION_LAKE = "TOTES_INGESTION_LAKE"
PROCESSED_LAKE = "TOTES_PROCESSED_LAKE"
HOME = "TOTES_HOME"

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


def url_from_secret(secret_id: str) -> str:
    """The connection string that a secret in AWS Secrets Manager describes.

    The secret is a JSON object with host, port, user (or username), password and database (or dbname).

    Raises:
        SettingsError: the secret cannot be read, or lacks something. The message never shows what is in it.
    """
    # Slow to import, and needed only where secrets are kept there.
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        answer = boto3.client("secretsmanager").get_secret_value(SecretId=secret_id)
    except (BotoCoreError, ClientError) as error:
        raise SettingsError(f"The secret {secret_id} cannot be read from Secrets Manager: {error}") from error
    try:
        secret: Any = json.loads(answer.get("SecretString", ""))
    except json.JSONDecodeError:
        # The cause would quote the secret.
        raise SettingsError(f"The secret {secret_id} is not JSON. Store an object as a key/value secret.") from None
    if not isinstance(secret, dict):
        raise SettingsError(f"The secret {secret_id} is not a JSON object. Store an object as a key/value secret.")
    return make_conninfo(**{name: _value(secret, name, secret_id) for name in _SPELLINGS})


def _value(secret: dict[str, Any], name: str, secret_id: str) -> str:
    for spelling in _SPELLINGS[name]:
        if secret.get(spelling) not in (None, ""):
            return str(secret[spelling])
    raise SettingsError(f"The secret {secret_id} has no {' or '.join(_SPELLINGS[name])}.")
