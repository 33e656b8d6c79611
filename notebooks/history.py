"""The history of the warehouse: versions, batches, deletions, and how to ask for an earlier state. It only reads.

`make notebook NAME=history` opens it in a browser; `python notebooks/history.py` prints its answers.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The history of the warehouse")

with app.setup(hide_code=True):
    import sys
    from collections import Counter
    from collections.abc import Callable
    from html import escape
    from pathlib import Path
    from textwrap import dedent
    from typing import Any

    import marimo as mo
    from psycopg import sql

    from totes_dagster.config.env_file import read_env_file
    from totes_dagster.config.platform import Warehouse, warehouse_for_queries
    from totes_dagster.errors import TotesError
    from totes_dagster.postgres.database import NamedConnection
    from totes_dagster.postgres.transactions import REPEATABLE_READ

    Rows = list[dict[str, Any]]
    YOUR_QUERY = "your query"


@app.cell(hide_code=True)
def _():
    mo.md("""
    # The history of the warehouse

    The facts keep every version of an order or a payment that the platform has seen. So they can say what the company
    knew at any earlier time, and what was changed since. This notebook teaches how to ask, with sales orders; payments
    and purchase orders work the same.

    All of its queries run in one snapshot of the warehouse. To change one, show the code of its cell; then all of them
    run again, in a new snapshot.
    """)
    return


@app.cell(hide_code=True)
def _(attempt, batch, batches_sql, corrections_sql, current_sql, deletions_sql, known_sql, solution_sql, versions_sql):
    _queries = {
        "batches": batches_sql,
        "versions": versions_sql,
        "current": current_sql,
        "known": known_sql,
        "corrections": corrections_sql,
        "deletions": deletions_sql,
        "solution": solution_sql,
    }
    try:
        read_env_file(Path())
        rows, problem = read(warehouse_for_queries(), _queries, int(batch.value or 0), attempt.value or "")
    except TotesError as error:
        if mo.app_meta().mode == "script":
            sys.exit(str(error))
        mo.stop(predicate=True, output=mo.callout(str(error), kind="danger"))
    if not rows["batches"]:
        _empty = "The warehouse is empty: no batch has been loaded yet. Run totes refresh, or start the platform."
        if mo.app_meta().mode == "script":
            print(_empty)
        mo.stop(predicate=True, output=mo.callout(_empty, kind="warn"))
    return problem, rows


@app.cell(hide_code=True)
def _():
    batches_sql = """
    select batch, snapshot_at::timestamp(3), loaded_at::timestamp(3)
    from load_history
    order by batch desc
    limit 100
    """
    lesson(
        "What is a batch?",
        "A **batch** is one snapshot of the source: all that had changed since the batch before, in all tables, as of "
        "one moment. The warehouse loads a batch in one transaction, and `load_history` has one row for each. "
        "`snapshot_at` is the moment of the snapshot, UTC, and `loaded_at` that of the load. Batches are numbered in "
        "order.",
        batches_sql,
    )
    return (batches_sql,)


@app.cell(hide_code=True)
def _(rows):
    _batches = rows["batches"]
    result(
        f"The warehouse has loaded {counted(_batches[0]['batch'], 'batch').replace('batchs', 'batches')}; the newest "
        f"shows the source as of {_batches[0]['snapshot_at']:%Y-%m-%d %H:%M:%S} UTC.",
        _batches,
    )
    return


@app.cell(hide_code=True)
def _():
    versions_sql = """
    select sales_order_id, batch, is_deleted, sales_staff_id, units_sold, unit_price,
           last_updated_date + last_updated_time as last_updated
    from fact_sales_order
    where sales_order_id = (
        select sales_order_id from fact_sales_order
        group by sales_order_id order by count(*) desc, sales_order_id desc limit 1)
    order by batch, sales_record_id
    """
    lesson(
        "What is a version?",
        "A **version** is a row of the source as a batch found it. If the row is changed later, the next batch adds "
        "another version; nothing in a fact is ever overwritten. `batch` says which batch brought the version, and "
        "orders the versions of a row. `last_updated` does not: the source's application stamps it, and not with "
        "every change. Here is the sales order that has the most versions:",
        versions_sql,
    )
    return (versions_sql,)


@app.cell(hide_code=True)
def _(rows):
    _versions = rows["versions"]
    if _versions:
        _newest = _versions[-1]
        _sentence = (
            f"Sales order {_newest['sales_order_id']} has {counted(len(_versions), 'version')}; the newest came with "
            f"batch {_newest['batch']}{', and says that it was deleted' if _newest['is_deleted'] else ''}."
        )
    else:
        _sentence = "There are no sales orders yet."
    result(_sentence, _versions)
    return


@app.cell(hide_code=True)
def _():
    current_sql = """
    select count(*) as orders,
           count(*) filter (where is_deleted) as deleted,
           (select count(*) from fact_sales_order) as versions,
           (select count(*) from current_sales_order) as in_the_view
    from (
        select distinct on (sales_order_id) *
        from fact_sales_order
        order by sales_order_id, batch desc, sales_record_id desc
    ) as newest
    """
    lesson(
        "What is current?",
        "The **current state** is the newest version of each row, unless that has `is_deleted`: a deletion is a "
        "version too, with the values that the row had last. The views `current_sales_order`, "
        "`current_purchase_order` and `current_payment` show just that. In SQL, `distinct on` keeps the first row of "
        "each order, and the order by puts the newest first:",
        current_sql,
    )
    return (current_sql,)


@app.cell(hide_code=True)
def _(rows):
    ((_counts),) = rows["current"]
    result(
        f"{counted(_counts['versions'], 'version')} of {counted(_counts['orders'], 'sales order')}, "
        f"{_counts['deleted']:,} of them deleted: the view shows {_counts['in_the_view']:,}.",
        [_counts],
    )
    return


@app.cell(hide_code=True)
def _():
    known_sql = """
    select 'as known at batch :batch' as state, count(*) as orders, coalesce(sum(units_sold), 0) as units
    from (
        select distinct on (sales_order_id) *
        from fact_sales_order
        where batch <= :batch
        order by sales_order_id, batch desc, sales_record_id desc
    ) as newest
    where not is_deleted
    union all
    select 'now', count(*), coalesce(sum(units_sold), 0)
    from current_sales_order
    """
    lesson(
        "What was known at an earlier batch?",
        "The same query with one more line: leave out the versions that came later. Put `is_deleted` outside, where "
        "it sees the newest version only; inside, it would bring back what had been deleted. For a state by the clock, "
        "take the batch from `load_history`: `(select max(batch) from load_history where snapshot_at <= '2026-12-01 "
        "09:00+00')`. Such an answer never changes, because versions are only added. Choose a batch below the query.",
        known_sql,
    )
    return (known_sql,)


@app.cell(hide_code=True)
def _():
    batch = mo.ui.number(start=0, step=1, value=1, label="Batch")
    batch
    return (batch,)


@app.cell(hide_code=True)
def _(batch, rows):
    _then, _now = rows["known"]
    result(
        f"At batch {batch.value}, {counted(_then['orders'], 'sales order')} for {counted(_then['units'], 'unit')} were "
        f"known; now there are {_now['orders']:,} for {_now['units']:,}.",
        [_then, _now],
    )
    return


@app.cell(hide_code=True)
def _():
    corrections_sql = """
    select sales_order_id, batch, changed.key as changed_column,
           earlier ->> changed.key as was, changed.value as became
    from (
        select sales_order_id, batch, is_deleted, to_jsonb(version) as later,
               lag(to_jsonb(version)) over one_order as earlier
        from fact_sales_order as version
        window one_order as (partition by sales_order_id order by batch, sales_record_id)
    ) as pairs
    cross join jsonb_each_text(later) as changed
    where not is_deleted and not (earlier -> 'is_deleted')::boolean
    and changed.key not in ('sales_record_id', 'batch')
    and changed.value is distinct from earlier ->> changed.key
    order by batch desc, sales_order_id, changed_column
    limit 10000
    """
    lesson(
        "What was corrected?",
        "`lag` returns the previous version of the same order. As JSON, the two can be compared column by column. A "
        "correction without a change of `last_updated_date` or `last_updated_time` is one that the source's "
        "application did not stamp: only a comparison shows it.",
        corrections_sql,
    )
    return (corrections_sql,)


@app.cell(hide_code=True)
def _(rows):
    _changes = rows["corrections"]
    _stamps = {"last_updated_date", "last_updated_time"}
    _corrected = {(row["sales_order_id"], row["batch"]) for row in _changes}
    _stamped = {(row["sales_order_id"], row["batch"]) for row in _changes if row["changed_column"] in _stamps}
    if _corrected:
        _columns = Counter(row["changed_column"] for row in _changes if row["changed_column"] not in _stamps)
        _most = f" The column changed most often is {_columns.most_common(1)[0][0]}." if _columns else ""
        _sentence = (
            f"{counted(len(_corrected), 'correction')}, {len(_corrected - _stamped):,} of them without a new "
            f"last_updated.{_most}"
        )
    else:
        _sentence = "No sales order has been corrected yet. `make dev` runs a company that makes corrections."
    result(_sentence, _changes)
    return


@app.cell(hide_code=True)
def _():
    deletions_sql = """
    select sales_order_id, batch, case when is_deleted then 'deleted' else 'came back' end as what
    from (
        select sales_order_id, batch, is_deleted, lag(is_deleted) over one_order as was_deleted
        from fact_sales_order
        window one_order as (partition by sales_order_id order by batch, sales_record_id)
    ) as versions
    where is_deleted or was_deleted
    order by batch desc, sales_order_id
    limit 10000
    """
    lesson(
        "What was deleted, and what came back?",
        "A row that is inserted again with the same key after its deletion gets one more version, without "
        "`is_deleted`, and is current again. So never take *has a deleted version* for *is deleted*: look at the "
        "newest version. A row that is inserted and deleted between two batches is in no snapshot, and has no version.",
        deletions_sql,
    )
    return (deletions_sql,)


@app.cell(hide_code=True)
def _(rows):
    _events = rows["deletions"]
    _counts = Counter(row["what"] for row in _events)
    result(
        f"{counted(_counts['deleted'], 'deletion')}, after which {counted(_counts['came back'], 'sales order')} came "
        "back."
        if _events
        else "No sales order has been deleted yet.",
        _events,
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Keep in mind

    - **History begins with the first batch.** What was changed or deleted before that is not known.
    - **A version is a state at the time of a batch.** If a row changes several times between two batches, only its last
      state is there.
    - **Dimensions have no history.** A join shows the name that a customer or a member of staff has now.
    - **Record ids are assigned anew** when the warehouse is rebuilt. Refer to a version by its order and its batch.
    - **Batch 0** marks versions that were in the warehouse before the platform adopted it.
    - **In Python**, `totes_dagster.reading` reads a table as it was as of a batch, from the warehouse or from the lake.
    """)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Exercise

    Which sales orders are worth something else today than in their first version, `units_sold * unit_price`? Leave out
    those that are deleted. Return three columns: `sales_order_id`, what it was worth at first, and what it is worth
    now.
    """)
    return


@app.cell(hide_code=True)
def _():
    attempt = mo.ui.code_editor(
        value="select sales_order_id, units_sold * unit_price as at_first, units_sold * unit_price as now\n"
        "from current_sales_order\n",
        language="sql",
        min_height=120,
    ).form(submit_button_label="Run")
    attempt
    return (attempt,)


@app.cell(hide_code=True)
def _(attempt, problem, rows):
    if not attempt.value:
        _verdict = mo.md("Write a query, and run it.")
    elif problem:
        _verdict = mo.callout(problem, kind="danger")
    else:
        _yours, _right = ({tuple(map(str, row.values())) for row in rows[name]} for name in (YOUR_QUERY, "solution"))
        _verdict = mo.vstack(
            [
                mo.callout("That is right.", kind="success")
                if _yours == _right
                else mo.callout(
                    f"Not yet: of {counted(len(_yours), 'row')}, {counted(len(_yours - _right), 'row')} should not be "
                    f"there, and {counted(len(_right - _yours), 'row')} are missing.",
                    kind="warn",
                ),
                *([table(rows[YOUR_QUERY])] if rows[YOUR_QUERY] else []),
            ]
        )
    _verdict
    return


@app.cell(hide_code=True)
def _():
    solution_sql = """
    select sales_order_id, first.units_sold * first.unit_price as at_first, now.units_sold * now.unit_price as now
    from (
        select distinct on (sales_order_id) *
        from fact_sales_order
        order by sales_order_id, batch, sales_record_id
    ) as first
    join current_sales_order as now using (sales_order_id)
    where first.units_sold * first.unit_price <> now.units_sold * now.unit_price
    order by sales_order_id
    """
    return (solution_sql,)


@app.cell(hide_code=True)
def _(rows, solution_sql):
    _found = rows["solution"]
    _sentence = (
        f"{counted(len(_found), 'sales order')} changed in worth."
        if _found
        else "No sales order has changed in worth, so the right query returns no rows."
    )
    mo.accordion({"Solution": mo.vstack([mo.md(in_sql(solution_sql)), result(_sentence, _found)])})
    return


@app.function(hide_code=True)
def counted(number: int, noun: str) -> str:
    """A number of things: `1 version`, `2 versions`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@app.function(hide_code=True)
def read(warehouse: Warehouse, queries: dict[str, str], batch: int, yours: str) -> tuple[dict[str, Rows], str]:
    """The rows of all queries, in one snapshot of the warehouse, and what is wrong with yours, if anything is."""
    database, schema = warehouse.database, sql.Identifier(warehouse.schema)
    with database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
        connection.execute(sql.SQL("set local search_path to {}").format(schema))
        rows = {name: fetched(connection, query.replace(":batch", str(batch))) for name, query in queries.items()}
        try:
            return rows | {YOUR_QUERY: fetched(connection, yours) if yours.strip() else []}, ""
        except TotesError as error:
            return rows | {YOUR_QUERY: []}, str(error)


@app.function(hide_code=True)
def fetched(connection: NamedConnection, query: str) -> Rows:
    """The rows of one query."""
    # Binary results come by the protocol that refuses a second statement, which might end the read-only transaction.
    cursor = connection.execute(query.encode(), binary=True)
    names = [column.name for column in cursor.description or ()]
    columns = [f"{name} {place}" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]
    return [dict(zip(columns, row, strict=True)) for row in cursor] if columns else []


@app.function(hide_code=True)
def in_sql(query: str) -> str:
    """A query as Markdown."""
    return f"```sql\n{dedent(query).strip()}\n```"


@app.function(hide_code=True)
def lesson(heading: str, text: str, query: str) -> mo.Html:
    """What there is to know, and the query that shows it."""
    return mo.md(f"## {heading}\n\n{text}\n\n{in_sql(query)}")


@app.function(hide_code=True)
def table(rows: Rows) -> mo.Html:
    """Rows of a query, ten at a time."""
    keys: dict[str, str | Callable[..., Any]] = {
        column: str for column in rows[0] if column.endswith("_id")
    }  # no separators of thousands
    return mo.ui.table(
        rows,
        selection=None,
        format_mapping=keys,
        page_size=10,
        show_column_summaries=False,
        show_data_types=False,
        show_search=False,
        show_download=False,
    )


@app.function(hide_code=True)
def result(sentence: str, rows: Rows) -> mo.Html:
    """What a query returned, in a sentence that a script prints, and as a table."""
    if mo.app_meta().mode == "script":
        print(sentence)
    said = mo.Html(f'<p style="font-size: 1.15rem">{escape(sentence)}</p>')
    return mo.vstack([said, table(rows)] if rows else [said])


if __name__ == "__main__":
    app.run()
