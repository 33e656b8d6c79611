"""What every folder of this tier may use."""

from totes_dagster_tests.object_store import bucket, object_store

__all__ = ["bucket", "object_store"]
