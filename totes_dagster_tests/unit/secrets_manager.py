"""AWS Secrets Manager in this process, and a secret as it may be kept there."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

SECRET = {"host": "db.example.com", "port": 5433, "user": "reader", "password": "s3cret", "database": "totesys"}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager, empty."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    with mock_aws():
        yield boto3.client("secretsmanager")
