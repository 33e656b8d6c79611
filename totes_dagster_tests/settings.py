"""Settings: those that name a whole platform, for tests that connect to none of it, and those without credentials."""

import pytest

ALL = {
    "TOTESYS_URL": "postgresql://reader:s3cret-t@source.example.com/totesys",
    "WAREHOUSE_URL": "postgresql://writer:s3cret-w@warehouse.example.com/analytics",
    "TOTES_INGESTION_LAKE": "file:///tmp/totes-tests-settings/ingestion",
    "TOTES_PROCESSED_LAKE": "file:///tmp/totes-tests-settings/processed",
}

SECRETS = {"TOTESYS_SECRET_ID": "totesys-secret", "WAREHOUSE_SECRET_ID": "warehouse-secret"}


def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave AWS's libraries no credentials to find: not in the environment, in a file, or from the machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
