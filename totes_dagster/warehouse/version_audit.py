"""Audits whether the facts hold exactly the versions that the loaded batches brought.

Reads only: `LoadTransaction.remove_repeated_versions` removes what is found here.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.schema.bookkeeping import load_history
from totes_dagster.schema.star import natural_key_of, record_id_of
from totes_dagster.warehouse.queries import repeats_of

_MAX_SENTENCES = 20


@dataclass(frozen=True)
class BatchVersions:
    """How many versions of a fact belong to a batch.

    Attributes:
        found: how many the fact holds.
        brought: how many the batch brought according to `load_history`; None if the batch is not in it.
        late: whether adopted rows (batch 0), which should be older than all others, are newer than some.
    """

    batch: int
    found: int
    brought: int | None
    late: bool


def repeated_versions(warehouse: psycopg.Connection, schema: str, fact: Table) -> tuple[set[int], list[str]]:
    """Find versions that no load wrote, and versions that a load wrote and that are gone. Reads the fact twice.

    Returns:
        The keys with a version that repeats the one before it, and a sentence about each batch whose number of versions
        is otherwise wrong. Rows that were adopted with the warehouse (batch 0) are not judged by their number.
    """
    duplicates = _duplicates_within_batches(warehouse, schema, fact)
    batches = _batch_versions(warehouse, schema, fact, sorted({batch for _, batch in duplicates}))
    suspicious = [versions.batch for versions in batches if versions.late or versions.found > (versions.brought or 0)]
    keys = sorted({key for key, _ in duplicates})
    repeats = _repeats(warehouse, schema, fact, keys, suspicious) if keys or suspicious else []
    return {key for key, _ in repeats}, count_discrepancies(fact.name, batches, Counter(batch for _, batch in repeats))


def count_discrepancies(fact: str, batches: Iterable[BatchVersions], repeated: Counter[int]) -> list[str]:
    """Describe each batch whose number of versions is wrong even without its repeated ones, in one sentence.

    Args:
        fact: the fact's name.
        batches: the batches to judge.
        repeated: how many of its versions are repeated, by batch.
    """
    sentences = []
    for versions in batches:
        found = versions.found - repeated[versions.batch]
        if versions.late or found == (versions.brought or 0):
            continue
        if versions.brought is None:
            sentences.append(f"batch {versions.batch} was never loaded, but {fact} has versions of it: {found}")
        else:
            sentences.append(
                f"batch {versions.batch} brought {versions.brought} versions of {fact}, but {found} are there"
            )
    if len(sentences) > _MAX_SENTENCES:
        sentences[_MAX_SENTENCES:] = [
            f"{len(sentences) - _MAX_SENTENCES} more batches have a wrong number of versions of {fact}"
        ]
    return sentences


def _duplicates_within_batches(warehouse: psycopg.Connection, schema: str, fact: Table) -> list[tuple[int, int]]:
    """Key and batch wherever a batch has more than one version of a key, which no load writes."""
    statement = sql.SQL(
        "select {key}, batch from {fact} where batch <> 0 group by {key}, batch having count(*) > 1"
    ).format(key=sql.Identifier(natural_key_of(fact)), fact=sql.Identifier(schema, fact.name))
    return [(key, batch) for key, batch in warehouse.execute(statement)]


def _batch_versions(warehouse: psycopg.Connection, schema: str, fact: Table, batches: list[int]) -> list[BatchVersions]:
    """The numbers of versions of these batches, and of all others where they are wrong."""
    statement = sql.SQL(
        """
        with present as (
            select batch, count(*) as found, min({record_id}) as oldest, max({record_id}) as newest
            from {fact} group by batch),
        loaded as (
            select batch, coalesce((counts ->> 'new')::bigint, 0) + coalesce((counts ->> 'changed')::bigint, 0)
                   + coalesce((counts ->> 'deleted')::bigint, 0) as brought
            from (select batch, tables -> {name} as counts from {history}) as history)
        select batch, coalesce(found, 0), brought, batch = 0
        from present full join loaded using (batch)
        where batch = any ({batches}::bigint[])
              or case batch when 0 then newest > (select min(oldest) from present where batch <> 0)
                            else coalesce(found, 0) <> coalesce(brought, 0) end
        order by batch
        """
    ).format(
        record_id=sql.Identifier(record_id_of(fact)),
        fact=sql.Identifier(schema, fact.name),
        name=sql.Literal(fact.name),
        history=sql.Identifier(schema, load_history.name),
        batches=sql.Literal(batches),
    )
    return [BatchVersions(*row) for row in warehouse.execute(statement)]


def _repeats(
    warehouse: psycopg.Connection, schema: str, fact: Table, keys: list[int], batches: list[int]
) -> list[tuple[int, int]]:
    """Key and batch of every version that repeats another, of these keys and of the keys in these batches."""
    name, key = sql.Identifier(schema, fact.name), sql.Identifier(natural_key_of(fact))
    condition = sql.SQL(
        "{key} = any ({keys}::integer[]) or {key} in (select {key} from {fact} where batch = any ({batches}::bigint[]))"
    ).format(key=key, fact=name, keys=sql.Literal(keys), batches=sql.Literal(batches))
    statement = sql.SQL("select {}, batch from ({}) as repeats").format(key, repeats_of(fact, name, condition))
    return [(key, batch) for key, batch in warehouse.execute(statement)]
