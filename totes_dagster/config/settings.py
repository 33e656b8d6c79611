"""The environment's settings: their names, their defaults and their checks.

What they configure is built in `platform`.
"""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from totes_dagster.errors import SettingsError, one_line

TOTESYS_URL = "TOTESYS_URL"
TOTESYS_SECRET_ID = "TOTESYS_SECRET_ID"  # a name, not a secret  # noqa: S105  # nosec B105
WAREHOUSE_URL = "WAREHOUSE_URL"
WAREHOUSE_SECRET_ID = "WAREHOUSE_SECRET_ID"  # noqa: S105  # nosec B105
WAREHOUSE_ADMIN_SECRET_ID = "WAREHOUSE_ADMIN_SECRET_ID"  # noqa: S105  # nosec B105
WAREHOUSE_READER_URL = "WAREHOUSE_READER_URL"
WAREHOUSE_READER_SECRET_ID = "WAREHOUSE_READER_SECRET_ID"  # noqa: S105  # nosec B105
WAREHOUSE_SCHEMA = "WAREHOUSE_SCHEMA"
STORAGE_SECRET_ID = "DAGSTER_POSTGRES_SECRET_ID"  # noqa: S105  # nosec B105
STORAGE_ADMIN_SECRET_ID = "DAGSTER_POSTGRES_ADMIN_SECRET_ID"  # noqa: S105  # nosec B105
INGESTION_LAKE = "TOTES_INGESTION_LAKE"
PROCESSED_LAKE = "TOTES_PROCESSED_LAKE"
LANDING = "TOTES_LANDING"
RATES_URL = "TOTES_RATES_URL"
CAPTURE = "TOTES_CAPTURE"
WORKERS = "TOTES_WORKERS"
WORKERS_CREDENTIALS = "TOTES_WORKERS_CREDENTIALS"
WORKERS_SECRET_ID = "TOTES_WORKERS_SECRET_ID"  # noqa: S105  # nosec B105
WORKERS_SERVICE = "TOTES_WORKERS_SERVICE"
HOME = "TOTES_HOME"
RETRY_SECONDS = "TOTES_RETRY_SECONDS"
ALERT_TOPIC = "TOTES_ALERT_TOPIC"
UI_URL = "TOTES_UI_URL"
METRICS_NAMESPACE = "TOTES_METRICS_NAMESPACE"

WORKERS_PORT = 8786
"""Where a scheduler of workers listens, unless it is told otherwise."""

DEFAULT_SCHEMA = "public"
"""The warehouse's schema unless `WAREHOUSE_SCHEMA` names another."""

T = TypeVar("T")

_REQUIRED = (
    (TOTESYS_URL, TOTESYS_SECRET_ID),
    (WAREHOUSE_URL, WAREHOUSE_SECRET_ID),
    (INGESTION_LAKE,),
    (PROCESSED_LAKE,),
)

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")


@dataclass(frozen=True)
class PlatformSettings(Generic[T]):
    """The settings of the databases and the lake: their values, or another object for each variable."""

    totesys_url: T
    totesys_secret_id: T
    warehouse_url: T
    warehouse_secret_id: T
    warehouse_schema: T
    ingestion_lake: T
    processed_lake: T
    landing: T
    capture: T
    workers: T
    workers_credentials: T
    workers_secret_id: T
    workers_service: T

    @classmethod
    def read(cls, look_up: Callable[[str], T]) -> "PlatformSettings[T]":
        """The settings, each variable looked up by its name."""
        return cls(
            totesys_url=look_up(TOTESYS_URL),
            totesys_secret_id=look_up(TOTESYS_SECRET_ID),
            warehouse_url=look_up(WAREHOUSE_URL),
            warehouse_secret_id=look_up(WAREHOUSE_SECRET_ID),
            warehouse_schema=look_up(WAREHOUSE_SCHEMA),
            ingestion_lake=look_up(INGESTION_LAKE),
            processed_lake=look_up(PROCESSED_LAKE),
            landing=look_up(LANDING),
            capture=look_up(CAPTURE),
            workers=look_up(WORKERS),
            workers_credentials=look_up(WORKERS_CREDENTIALS),
            workers_secret_id=look_up(WORKERS_SECRET_ID),
            workers_service=look_up(WORKERS_SERVICE),
        )


def is_configured(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment configures the databases and the lake; otherwise the platform uses the embedded stack.

    Raises:
        SettingsError: it configures only some of them. That would mix real data with the embedded stack's.
    """
    missing = [names for names in _REQUIRED if not any(environment.get(name) for name in names)]
    if missing and len(missing) < len(_REQUIRED):
        raise SettingsError(
            f"Some settings are given, but these are missing: {', '.join(' or '.join(names) for names in missing)}. "
            "Set all of them, or none to use the embedded stack."
        )
    return not missing


def retry_seconds(*, default: float, environment: Mapping[str, str] = os.environ) -> float:
    """For how many seconds to retry after a transient error; 0 for no retries.

    Args:
        default: the number without a setting.
        environment: the settings.

    Raises:
        SettingsError: the setting is not such a number.
    """
    value = environment.get(RETRY_SECONDS)
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise SettingsError(f"{RETRY_SECONDS} is {value!r}: give a number of seconds, 0 for no retries.")
    return seconds


def takes_log(capture: str) -> bool:
    """Whether changes are taken from the source's write-ahead log, where that is possible.

    Args:
        capture: the setting `TOTES_CAPTURE`; empty for its default.

    Raises:
        SettingsError: it is neither `census` nor `log`.
    """
    if capture not in {"", "census", "log"}:
        raise SettingsError(f"{CAPTURE} is {one_line(repr(capture))} Give census, which is the default, or log.")
    return capture == "log"


def workers_address(address: str) -> str:
    """The address of a cluster's scheduler.

    Raises:
        SettingsError: it is not one, or not encrypted.
    """
    with suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme == "tls" and parts.hostname and parts.port and parts.netloc.count("@") == 0 and not parts.path:
            return address
    raise SettingsError(
        f"{WORKERS} is {one_line(repr(address))} Give the address of a cluster's scheduler, like "
        "tls://scheduler.example.com:8786."
    )


def topic_region(topic: str) -> str:
    """The region of an SNS topic, from its ARN.

    Raises:
        SettingsError: this is not the ARN of a topic that alerts can be sent to.
    """
    found = _TOPIC.fullmatch(topic)
    if not found:
        raise SettingsError(
            f"{ALERT_TOPIC} is {one_line(repr(topic))} That is not the ARN of an SNS topic, which looks like "
            "arn:aws:sns:eu-west-2:123456789012:alerts."
        )
    if found[2]:
        raise SettingsError(f"{ALERT_TOPIC} is {topic}: a FIFO topic cannot send e-mail. Use a standard topic.")
    return found[1]


def ui_address(url: str) -> str:
    """The address of Dagster's UI, with which links begin.

    Raises:
        SettingsError: it is not a valid address, or contains credentials, which every alert would show.
    """
    with suppress(ValueError):  # an invalid port or IPv6 address
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and not re.search(r"[\s@?#]", url)
        if plain and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return url.rstrip("/")
    raise SettingsError(
        f"{UI_URL} is {one_line(repr(url))} Give the address of Dagster's UI without credentials, "
        "like https://dagster.example.com."
    )
