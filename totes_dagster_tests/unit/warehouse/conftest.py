"""Batches to load."""

from pathlib import Path

import pytest

from totes_dagster_tests.unit.warehouse.batches import MakeBatch, batches_in


@pytest.fixture
def batch(tmp_path: Path) -> MakeBatch:
    return batches_in(tmp_path)
