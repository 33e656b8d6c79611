"""Settings: those that name a whole platform, for tests that connect to none of it, and those without credentials."""

import pytest

from totes_dagster.config.platform import Platform

ALL = {
    "TOTESYS_URL": "postgresql://reader:s3cret-t@source.example.com/totesys",
    "WAREHOUSE_URL": "postgresql://writer:s3cret-w@warehouse.example.com/analytics",
    "TOTES_INGESTION_LAKE": "file:///tmp/totes-tests-settings/ingestion",
    "TOTES_PROCESSED_LAKE": "file:///tmp/totes-tests-settings/processed",
}

SECRETS = {"TOTESYS_SECRET_ID": "totesys-secret", "WAREHOUSE_SECRET_ID": "warehouse-secret"}


def configure(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> None:
    """Have the environment name a platform."""
    for name, value in {
        "TOTESYS_URL": platform.source.url,
        "WAREHOUSE_URL": platform.warehouse.database.url,
        "WAREHOUSE_SCHEMA": platform.warehouse.schema,
        "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
        "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
    }.items():
        monkeypatch.setenv(name, value)


def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave AWS's libraries no credentials to find: not in the environment, in a file, or from the machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
