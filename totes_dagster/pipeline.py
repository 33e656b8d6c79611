"""All three stages in one go, for whoever runs them without Dagster."""

from collections.abc import Collection
from dataclasses import dataclass

from totes_dagster.config.platform import Platform
from totes_dagster.ingest.run import Ingested, ingest
from totes_dagster.remodel.run import REMODELS, Written, remodelled, write_star
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.runtime.retry import retried
from totes_dagster.warehouse.load import LoadedBatch, load
from totes_dagster.warehouse.migrations import migrate


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        ingested: the batch that it committed, and how the source deviates from the contract.
        remodelled: what it wrote, by star table.
        loaded: the batches that it loaded, oldest first.
    """

    ingested: Ingested
    remodelled: dict[str, Written]
    loaded: list[LoadedBatch]


def refresh(platform: Platform, *, recapture: Collection[str] = (), progress: Progress = silent) -> Refreshed:
    """Bring the warehouse up to date.

    Args:
        platform: what to work on.
        recapture: source tables to capture whole, changed or not.
        progress: notified of rows as they move.

    Raises:
        TotesError: see the stages. What was done before it stays done; the next refresh carries on from there.
    """
    source, lake = platform.source, platform.ingestion
    ingested = retried("Ingest", lambda: ingest(source, lake, recapture=recapture, progress=progress))
    return Refreshed(ingested, *bring_up(platform, progress))


def bring_up(platform: Platform, progress: Progress = silent) -> tuple[dict[str, Written], list[LoadedBatch]]:
    """Remodel and load every committed batch that is not loaded yet."""
    written = {star: remodel(platform, star, progress) for star in REMODELS}
    retried("Migrate", lambda: migrate(platform.warehouse, platform.schema))
    loaded = load(platform.warehouse, platform.schema, platform.ingestion, platform.processed, progress)
    return written, loaded


def remodel(platform: Platform, star: str, progress: Progress = silent) -> Written:
    """Fill the gaps of one star table in the processed zone."""
    ingestion, processed = platform.ingestion, platform.processed
    return retried("Remodel", lambda: write_star(processed, remodelled(star, ingestion, processed, progress)))
