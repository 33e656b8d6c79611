"""Whether the facts hold the versions that batches brought, no more and no fewer."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.schema.bookkeeping import load_history
from totes_dagster.schema.star import natural_key_of, record_id_of
from totes_dagster.warehouse.queries import repeats_of

_LINES = 20


@dataclass(frozen=True)
class BatchVersions:
    """A batch's versions of a fact.

    Attributes:
        found: how many there are.
        brought: how many `load_history` says that the batch brought; None where it does not know the batch.
        late: whether some are newer than versions of other batches, though they are of rows that were adopted (batch 0)
            and should be older than all.
    """

    batch: int
    found: int
    brought: int | None
    late: bool


def repeated_versions(warehouse: psycopg.Connection, schema: str, fact: Table) -> tuple[set[int], list[str]]:
    """Look for versions that no load wrote, and for such as one wrote and are gone; two passes over the fact.

    Returns:
        The keys with a version that repeats the one before it, and sentences about all other wrong numbers. Rows that
        were adopted with the warehouse may be anything.
    """
    twice = _twice_in_a_batch(warehouse, schema, fact)
    numbers = _numbers(warehouse, schema, fact, sorted({batch for _, batch in twice}))
    suspicious = [of.batch for of in numbers if of.late or of.found > (of.brought or 0)]
    keys = sorted({key for key, _ in twice})
    repeats = _repeats(warehouse, schema, fact, keys, suspicious) if keys or suspicious else []
    return {key for key, _ in repeats}, told(fact.name, numbers, Counter(batch for _, batch in repeats))


def told(fact: str, of_batches: Iterable[BatchVersions], repeated: Counter[int]) -> list[str]:
    """Sentences about batches whose numbers of versions are wrong, also without the versions that are repeated."""
    lines = []
    for numbers in of_batches:
        found = numbers.found - repeated[numbers.batch]
        if numbers.late or found == (numbers.brought or 0):
            continue
        if numbers.brought is None:
            lines.append(
                f"batch {numbers.batch} was never loaded, but versions of {fact} are said to be of it: {found}"
            )
        else:
            lines.append(f"batch {numbers.batch} brought {numbers.brought} versions of {fact}, but {found} are there")
    if len(lines) > _LINES:
        lines[_LINES:] = [f"{len(lines) - _LINES} further batches of {fact} are no better"]
    return lines


def _twice_in_a_batch(warehouse: psycopg.Connection, schema: str, fact: Table) -> list[tuple[int, int]]:
    """Key and batch where a batch has more than the one version of a key that it can bring."""
    statement = sql.SQL(
        "select {key}, batch from {fact} where batch <> 0 group by {key}, batch having count(*) > 1"
    ).format(key=sql.Identifier(natural_key_of(fact)), fact=sql.Identifier(schema, fact.name))
    return [(key, batch) for key, batch in warehouse.execute(statement)]


def _numbers(warehouse: psycopg.Connection, schema: str, fact: Table, batches: list[int]) -> list[BatchVersions]:
    """The numbers of these batches, and of all others that are wrong."""
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
    """Key and batch of every version that repeats the one before it, of these keys, and of those in these batches."""
    name, key = sql.Identifier(schema, fact.name), sql.Identifier(natural_key_of(fact))
    condition = sql.SQL(
        "{key} = any ({keys}::integer[]) or {key} in (select {key} from {fact} where batch = any ({batches}::bigint[]))"
    ).format(key=key, fact=name, keys=sql.Literal(keys), batches=sql.Literal(batches))
    statement = sql.SQL("select {}, batch from ({}) as repeats").format(key, repeats_of(fact, name, condition))
    return [(key, batch) for key, batch in warehouse.execute(statement)]
