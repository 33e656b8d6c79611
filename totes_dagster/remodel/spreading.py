"""Remodelling by the workers of a cluster, which are told the names of parts, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from totes_dagster.cluster.spreading import MANY_PIECES, Cluster
from totes_dagster.config.platform import platform_of_worker
from totes_dagster.lake.processed import StarPart
from totes_dagster.lake.zone import Lake
from totes_dagster.remodel.computing import FactPiece, pieces_of, span_of
from totes_dagster.remodel.run import Written, calendar_part, remodel_part, write_part
from totes_dagster.remodel.spans import Span
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.registry import CALENDAR


@dataclass(frozen=True)
class LakeUrls:
    """The zones that a piece of work belongs to, by their URLs."""

    ingestion: str
    processed: str

    @classmethod
    def of(cls, lake: Lake) -> "LakeUrls":
        """Those of a lake."""
        return cls(lake.ingestion.url, lake.processed.url)

    def lake_of_worker(self) -> Lake:
        """The lake of this machine's settings.

        Raises:
            ClusterError: that is another.
        """
        return platform_of_worker(self.ingestion, self.processed).lake


@dataclass(frozen=True)
class _Remodelling:
    part: StarPart
    lake: LakeUrls


@dataclass(frozen=True)
class _Dating:
    piece: FactPiece
    lake: LakeUrls


def write_by_workers(
    parts: Sequence[StarPart], lake: Lake, cluster: Cluster, progress: Progress = silent
) -> dict[str, Written]:
    """Let workers compute and write parts of star tables.

    Args:
        parts: the parts, of whichever batches, all of them of the calendar, or none.
        lake: both zones.
        cluster: the workers.
        progress: called with the number of rows of a part when it is written.

    Returns:
        What was written, by star table; nothing, if there is too little to do.

    Raises:
        PartError: a part of the ingestion zone is missing or damaged, or has another schema.
        LakeError: the lake cannot be reached, or refuses.
    """
    if parts and parts[0].star == CALENDAR.name:
        return _write_calendars(parts, lake, cluster, progress)
    if len(parts) < MANY_PIECES:
        return {}
    works = [_Remodelling(part, LakeUrls.of(lake)) for part in parts]
    written: dict[str, Written] = {}
    done_by = cluster.each(
        "parts to remodel", works, task=_remodel_on_worker, here=lambda work: _remodel(work.part, lake)
    )
    for work, of_part in done_by:
        written[work.part.path] = of_part
        progress("remodel", work.part.star, of_part.rows)
    by_star: dict[str, Written] = {}
    for part in parts:
        by_star[part.star] = by_star.get(part.star, Written()) + written[part.path]
    return by_star


def _write_calendars(parts: Sequence[StarPart], lake: Lake, cluster: Cluster, progress: Progress) -> dict[str, Written]:
    """The same for the calendar, for which workers look up the days of facts."""
    pieces = {part.path: pieces_of(part) for part in parts}
    works = [_Dating(piece, LakeUrls.of(lake)) for of_part in pieces.values() for piece in of_part]
    if len(works) < MANY_PIECES:
        return {}
    found = cluster.each(
        "parts whose days the calendar has", works, task=_span_on_worker, here=lambda work: span_of(work.piece, lake)
    )
    spans = {work.piece.path: span for work, span in found}
    written = Written()
    for part in parts:
        calendar = calendar_part(part, [spans[piece.path] for piece in pieces[part.path]])
        of_part = write_part(calendar, lake.processed)
        progress("remodel", part.star, of_part.rows)
        written += of_part
    return {CALENDAR.name: written}


def _remodel(part: StarPart, lake: Lake) -> Written:
    """Compute and write a part; what was written, without the rows."""
    return replace(write_part(remodel_part(part, lake), lake.processed), newest=None)


def _remodel_on_worker(work: _Remodelling) -> Written:
    return _remodel(work.part, work.lake.lake_of_worker())


def _span_on_worker(work: _Dating) -> Span:
    return span_of(work.piece, work.lake.lake_of_worker())
