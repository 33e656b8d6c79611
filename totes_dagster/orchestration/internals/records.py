"""Records in Dagster's storage that have no public interface: executions of checks, and the errors of runs.

Tried with Dagster 1.13.27.
"""

from collections.abc import Iterable, Sequence

from dagster import AssetCheckKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord
from dagster_shared.error import SerializableErrorInfo

__all__ = ["AssetCheckExecutionRecord", "SerializableErrorInfo", "latest_check_executions"]


def latest_check_executions(
    instance: DagsterInstance, checks: Sequence[AssetCheckKey]
) -> Iterable[AssetCheckExecutionRecord]:
    """The newest execution of each check that was ever executed, whether or not it has ended."""
    return instance.event_log_storage.get_latest_asset_check_execution_by_key(checks).values()
