"""Source rows, sound or not, against a plain computation: each becomes a row of its star table, or is set aside."""

import inspect
import json

import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.processed import REASON, star_schema
from totes_dagster.remodel.quarantine import quarantine_schema
from totes_dagster.remodel.rows import function_of
from totes_dagster.schema.registry import CALENDAR, STAR_TABLES, inputs_of
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.unit.remodel import naive
from totes_dagster_tests.unit.remodel.remodelling import remodelled, sound_rows
from totes_dagster_tests.unit.rows import any_rows_of, ingested, source_rows


@pytest.mark.parametrize("star", naive.REMODELLED)
@given(data=st.data(), reverse=st.booleans())
def test_every_star_table_is_what_a_plain_computation_says(star: str, data: st.DataObject, *, reverse: bool) -> None:
    inputs = [data.draw(source_rows(name), label=name) for name in inputs_of(star)]
    table = sound_rows(star, *inputs, reverse=reverse)
    assert table.schema == star_schema(star)
    assert table.to_pylist() == naive.computed(star, *inputs)


@pytest.mark.parametrize("star", naive.REMODELLED)
def test_no_rows_become_a_table_of_no_rows(star: str) -> None:
    table = sound_rows(star, *([] for _ in inputs_of(star)))
    assert table.schema == star_schema(star)
    assert table.num_rows == 0


@pytest.mark.parametrize("star", naive.REMODELLED)
@settings(derandomize=True)
@given(data=st.data())
def test_every_row_is_remodelled_exactly_or_set_aside_as_it_is_with_a_reason(star: str, data: st.DataObject) -> None:
    source, *_ = names = inputs_of(star)
    inputs = {name: data.draw(any_rows_of(name), label=name) for name in names}
    kept, aside = naive.judged(star, inputs)
    driving = ingested(source, inputs[source])
    done = remodelled(star, *inputs.values())

    assert done.rows.schema.equals(star_schema(star))
    assert done.rows.to_pylist() == kept
    assert done.rows.schema.metadata == {
        b"ingested": str(driving.num_rows).encode(),
        b"quarantined": str(len(aside)).encode(),
    }
    assert done.quarantined.schema.equals(quarantine_schema(source))
    columns = list(SOURCE_TABLES[source].columns.keys())
    assert done.quarantined.select(columns).equals(driving.take(pa.array(aside, pa.int64())).select(columns))
    assert all(done.quarantined.column(REASON).to_pylist())
    reasons = [inputs[source][place].get("unfit") for place in aside]
    assert done.quarantined.column(UNFIT_VALUES).to_pylist() == [
        json.dumps(unfit) if unfit else None for unfit in reasons
    ]
    event(f"{star}: some kept, some aside", bool(kept and aside))


def test_when_all_rows_are_set_aside_the_star_part_is_empty_and_of_its_schema() -> None:
    done = remodelled("fact_payment", [{"payment_id": 1, "payment_date": "soon"}])
    assert (done.rows.num_rows, done.quarantined.num_rows) == (0, 1)
    assert done.rows.schema.equals(star_schema("fact_payment"))


@pytest.mark.parametrize("star", STAR_TABLES)
def test_every_star_table_is_remodelled(star: str) -> None:
    function = function_of(star)
    assert function.__name__ == star
    if STAR_TABLES[star] is not CALENDAR:
        assert tuple(inspect.signature(function).parameters) == inputs_of(star)


def test_a_star_table_that_no_function_computes_is_named() -> None:
    with pytest.raises(TypeError, match="No function computes dim_weather"):
        function_of("dim_weather")
