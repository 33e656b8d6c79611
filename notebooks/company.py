"""The company in numbers: what it sells and to whom, what it buys, what it owes and is owed. It only reads.

`make notebook` opens it in a browser; `python notebooks/company.py` prints its questions and answers.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The company in numbers")

with app.setup(hide_code=True):
    import sys
    from collections import Counter
    from dataclasses import replace
    from datetime import UTC, date, datetime, timedelta
    from decimal import Decimal
    from html import escape
    from pathlib import Path
    from typing import Any

    import marimo as mo

    from totes_dagster.config.env_file import read_env_file
    from totes_dagster.config.platform import Warehouse, warehouse_for_queries
    from totes_dagster.errors import TotesError
    from totes_dagster.metrics.asking import Answer, ask
    from totes_dagster.metrics.chart import chart_of
    from totes_dagster.postgres.transactions import REPEATABLE_READ

    FRESH_FOR = timedelta(minutes=30)  # after that, the freshness policy of the warehouse's assets fails
    MOST_BARS = 10

    ASKED = (
        "unconverted by kind",
        "net_sales",
        "net_sales by month",
        "net_sales by customer",
        "net_sales by delivered_to",
        "net_sales by customer_of",
        "orders",
        "units_sold",
        "units_sold by design",
        "target_attainment by month, department",
        "deliveries_kept",
        "deliveries_missed",
        "delivered_on_time",
        "delivered_on_time by month",
        "spend",
        "spend by month",
        "spend by supplier",
        "purchase_orders",
        "items_bought",
        "open_receivables by ageing",
        "open_payables by ageing",
        "days_late",
        "share_paid_late",
        "share_paid_late by month",
        "days_late_to_suppliers",
        "share_paid_late_to_suppliers",
        "exchange_gain",
        "exchange_gain by transaction_type",
        "exchange_gain by month, transaction_type",
    )
    ASKED_OF_COMPLETE_MONTHS = ("target_attainment", "target_attainment by department")


@app.cell(hide_code=True)
def _():
    mo.md("""
    # The company in numbers

    Each number is one of the platform's metrics, which are declared once, in `totes_dagster/metrics`: `totes metric`
    gives the same. All of them are read in one snapshot of the warehouse, so they agree with one another. Run the
    notebook again to read a new one.
    """)
    return


@app.cell(hide_code=True)
def _():
    try:
        read_env_file(Path())
        answers = answered(warehouse_for_queries())
    except TotesError as error:
        if mo.app_meta().mode == "script":
            sys.exit(str(error))
        mo.stop(predicate=True, output=mo.callout(str(error), kind="danger"))

    as_of = answers["net_sales"].as_of
    if as_of is None:
        _empty = "The warehouse is empty: no batch has been loaded yet. Run totes refresh, or start the platform."
        if mo.app_meta().mode == "script":
            print(_empty)
        mo.stop(predicate=True, output=mo.callout(_empty, kind="warn"))
    assert as_of is not None
    last_month = month_of(day_before(month_of(as_of)))
    return answers, as_of, last_month


@app.cell(hide_code=True)
def _(answers, as_of):
    _unconverted = answers["unconverted by kind"]
    _age = datetime.now(UTC) - as_of
    _hours = int(_age / timedelta(hours=1))
    _is_old = _age > FRESH_FOR
    _moment = f"{as_of.astimezone(UTC):%Y-%m-%d at %H:%M:%S} UTC"
    _sentence = f"They show the source as it was on {_moment}, in batch {_unconverted.batch}."
    if _is_old:
        _ago = counted(_hours, "hour") if _hours else counted(int(_age / timedelta(minutes=1)), "minute")
        _sentence += (
            f" That was {_ago} ago: either nothing has changed since then, or changes do not arrive. "
            "totes status tells which."
        )
    _numbers = numbers_by(_unconverted)
    _missing = ", ".join(counted(number, kind) for kind, number in _numbers.items())
    _sentence += (
        f" Not in the amounts in pounds, because there is no exchange rate for their day: {_missing}."
        if _numbers
        else " Every order and payment has an amount in pounds."
    )
    section(
        "How current and how complete are these numbers?",
        _sentence,
        [_unconverted],
        "Today, for all that is open or overdue, is the day of that batch. Exchange rates come from a feed, which "
        "`totes feeds` takes; without them, only amounts in pounds sterling count.",
    )
    return


@app.cell(hide_code=True)
def _(answers, last_month):
    _sales, _by_month = answers["net_sales"], answers["net_sales by month"]
    _orders, _bags, _worth = (value_of(answers[name]) for name in ("orders", "units_sold", "net_sales"))
    _months = numbers_by(_by_month)
    if not _orders:
        _sentence = "Nothing yet: there are no sales orders."
    elif _worth is None:
        _sentence = f"{counted(_orders, 'order')} for {counted(_bags, 'bag')}, of unknown worth."
    else:
        _sentence = f"{counted(_orders, 'order')} for {counted(_bags, 'bag')}, worth {money(_worth)}."
        if last_month in _months:
            _sentence += f" In {last_month:%B %Y}, the last complete month, sales were {money(_months[last_month])}"
            _before = _months.get(month_of(day_before(last_month)))
            if _before:
                _change = _months[last_month] / _before - 1
                _sentence += f", {percent(abs(_change))} {'more' if _change >= 0 else 'less'} than in the month before"
            _sentence += "."
    section(
        "What was sold?",
        _sentence + left_out(_sales),
        [_by_month],
        "The last point is a month that has not ended. A sale counts on the day of its order, at the exchange rate of "
        "that day. An order that is corrected or deleted later changes earlier months: `make notebook NAME=history` "
        "shows how.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _sales = answers["net_sales"]
    _customers = numbers_by(answers["net_sales by customer"])
    _worth = value_of(_sales)
    if _worth:
        _name, _most = next(iter(_customers.items()))
        _sentence = (
            f"The largest of {counted(len(_customers), 'customer')} is {_name}, with {money(_most)}, "
            f"{percent(_most, _worth)} of net sales. The {MOST_BARS} largest have "
            f"{percent(sum(list(_customers.values())[:MOST_BARS]), _worth)}."
        )
    else:
        _sentence = "Nobody yet: there are no sales with a known worth."
    section(
        "Who buys?",
        _sentence + left_out(_sales),
        [largest(answers["net_sales by customer"])],
        "Orders of a customer count under the name that the customer has now.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _sales = answers["net_sales"]
    _worth = value_of(_sales)
    _delivered = numbers_by(answers["net_sales by delivered_to"])
    _customers = numbers_by(answers["net_sales by customer_of"])
    if _worth:
        _destination, _to = next(iter(_delivered.items()))
        _home, _of = next(iter(_customers.items()))
        _sentence = (
            f"By address of delivery, {_destination} comes first of {len(_delivered):,}, with "
            f"{percent(_to, _worth)} of net sales. By legal address of the customer, {_home} comes first of "
            f"{len(_customers):,}, with {percent(_of, _worth)}."
        )
    else:
        _sentence = "Nowhere yet: there are no sales with a known worth."
    section(
        "Which countries do bags go to, and which do customers come from?",
        _sentence + left_out(_sales),
        [largest(answers["net_sales by delivered_to"]), largest(answers["net_sales by customer_of"])],
        "These are two questions. `delivered_to` is the country of the address of delivery, `customer_of` that of the "
        "customer's legal address, and an order may be delivered to another country than its customer's.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _bags = value_of(answers["units_sold"])
    _designs = numbers_by(answers["units_sold by design"])
    if _bags:
        _name, _most = next(iter(_designs.items()))
        _sentence = (
            f"The design that sells most, of {len(_designs):,}, is {_name}, with {counted(_most, 'bag')}, "
            f"{percent(Decimal(_most), _bags)} of all."
        )
    else:
        _sentence = "None yet: no bags have been sold."
    section(
        "Which designs sell?",
        _sentence,
        [largest(answers["units_sold by design"])],
        "Several designs may have the same name; then its number follows in brackets. An order of the older form of "
        "the source may have no known design, which counts as `Unknown`.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _all = answers["target_attainment"]
    _attained = value_of(_all)
    _departments = numbers_by(answers["target_attainment by department"])
    if _attained is None:
        _sentence = "Not known: there are no targets for complete months."
    else:
        _best, *_, _worst = [*_departments.items()] * 2 if len(_departments) == 1 else _departments.items()
        _sentence = (
            f"In the months that are complete, net sales were {percent(_attained)} of the targets. "
            f"{_best[0]} did best, with {percent(_best[1])}, and {_worst[0]} least well, with {percent(_worst[1])}."
        )
    section(
        "Do departments meet their targets?",
        _sentence + left_out(_all),
        [answers["target_attainment by department"], answers["target_attainment by month, department"]],
        "Targets come from a feed, and may be decided anew: the newest decision counts. Sales count for the department "
        "that the member of staff belongs to now. In the second chart, the last month has not ended.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _kept, _missed, _on_time = (
        value_of(answers[name]) for name in ("deliveries_kept", "deliveries_missed", "delivered_on_time")
    )
    section(
        "Are bags delivered by the agreed date?",
        f"{percent(_on_time)} of {counted(_kept + _missed, 'order')} were: {_kept:,} on time, {_missed:,} late."
        if _on_time is not None
        else "Not known: no shipments have been reported.",
        [answers["delivered_on_time by month"]],
        "An order is on time if *all* of its bags had arrived. Shipments come from a feed of the carrier, and orders "
        "that were to be delivered before its first report do not count. An order counts on its agreed date.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _spend = answers["spend"]
    _orders, _items, _worth = (value_of(answers[name]) for name in ("purchase_orders", "items_bought", "spend"))
    _suppliers = numbers_by(answers["spend by supplier"])
    if not _orders:
        _sentence = "Nothing yet: there are no purchase orders."
    elif not _worth:
        _sentence = f"{counted(_orders, 'order')} for {counted(_items, 'item')}, of unknown worth."
    else:
        _name, _most = next(iter(_suppliers.items()))
        _sentence = (
            f"{counted(_orders, 'order')} for {counted(_items, 'item')}, worth {money(_worth)}. The largest of "
            f"{counted(len(_suppliers), 'supplier')} is {_name}, with {percent(_most, _worth)}."
        )
    section(
        "What is bought, and from whom?",
        _sentence + left_out(_spend),
        [answers["spend by month"], largest(answers["spend by supplier"])],
        "Spend is what was ordered, on the day of the order. What was paid is `cash_paid`.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _receivables, _payables = answers["open_receivables by ageing"], answers["open_payables by ageing"]

    def _owed(answer: Answer) -> str:
        amounts = numbers_by(answer)
        if not answer.rows:
            return "nothing"
        if not amounts:
            return "an unknown amount"
        overdue = sum(amount for ageing, amount in amounts.items() if ageing != "not due")
        return f"{money(sum(amounts.values()))}, of which {money(overdue)} is overdue"

    section(
        "What is owed?",
        f"Customers owe {_owed(_receivables)}. Suppliers are owed {_owed(_payables)}."
        + left_out(_receivables, _payables),
        [_receivables, _payables],
        "Open payments are converted at the rate of the day that the warehouse shows, not at that of their orders. "
        "What is to be refunded is taken off, so a bar may be below zero.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    def _numbers(*names: str) -> list[Any]:
        return [value_of(answers[name]) for name in names]

    def _lateness(payments: str, share: Decimal | None, days: Decimal) -> str:
        if share is None:
            return f"No {payments} are due yet."
        return f"{percent(share)} of {payments} that are due were made late, or are overdue; the median is {days} days."

    section(
        "How late are payments?",
        " ".join(
            [
                _lateness("customers' payments", *_numbers("share_paid_late", "days_late")),
                _lateness("payments to suppliers", *_numbers("share_paid_late_to_suppliers", "days_late_to_suppliers")),
            ]
        ),
        [answers["share_paid_late by month"]],
        "The source has no date on which a payment was made. It is taken from the version that first shows it as paid. "
        "A payment counts in the month in which it is due; payments that are not due do not count.",
    )
    return


@app.cell(hide_code=True)
def _(answers):
    _gain = answers["exchange_gain"]
    _total = value_of(_gain)
    _types = numbers_by(answers["exchange_gain by transaction_type"])

    def _gained(amount: Decimal) -> str:
        return f"{'gained' if amount >= 0 else 'lost'} {money(abs(amount))}"

    if _total is None or not _types:
        _sentence = "Not known: no payment has been made that can be converted."
    else:
        _parts = [
            f"{_gained(_types[name])} on {label}"
            for name, label in (("SALE", "sales"), ("PURCHASE", "purchases"))
            if name in _types
        ]
        _sentence = f"Between order and payment, the company {_gained(_total)}: it {' and '.join(_parts)}."
    section(
        "What did changes of exchange rates gain or lose?",
        _sentence + left_out(_gain),
        [answers["exchange_gain by month, transaction_type"]],
        "Only payments that were made count, each at the rate of its day against that of its order's day. What is "
        "still open gains or loses every day, and is not in this.",
    )
    return


@app.function(hide_code=True)
def month_of(moment: date) -> date:
    """The first day of the month of a day, or of a moment, UTC."""
    day = moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment
    return day.replace(day=1)


@app.function(hide_code=True)
def day_before(day: date) -> date:
    """The day before a day."""
    return day - timedelta(days=1)


@app.function(hide_code=True)
def money(amount: Decimal) -> str:
    """An amount in whole pounds."""
    return f"{'-' if amount < 0 else ''}£{abs(amount):,.0f}"


@app.function(hide_code=True)
def percent(part: Decimal, whole: Decimal | int = 1) -> str:
    """A share, to a tenth of a per cent."""
    return f"{100 * part / whole:.1f}%"


@app.function(hide_code=True)
def counted(number: int, noun: str) -> str:
    """A number of things: `1 bag`, `2 bags`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@app.function(hide_code=True)
def value_of(answer: Answer) -> Any:
    """The number of an answer that is not split; None if there is none."""
    ((value, *_),) = answer.rows
    return value


@app.function(hide_code=True)
def ranked(answer: Answer) -> Answer:
    """An answer that is split once, largest number first, without members that have no number.

    Members of the same name are told apart by their keys.
    """
    (dimension,) = answer.by
    names = [column.name for column in answer.columns]
    key, member, number = 0, names.index(dimension), names.index(answer.metric.name)
    occurrences = Counter(row[member] for row in answer.rows)
    rows = [
        (*row[:member], f"{row[member]} ({row[key]})" if occurrences[row[member]] > 1 else row[member], *row[number:])
        for row in answer.rows
        if row[number] is not None
    ]
    return replace(answer, rows=sorted(rows, key=lambda row: row[number], reverse=True))


@app.function(hide_code=True)
def numbers_by(answer: Answer) -> dict[Any, Any]:
    """The numbers of an answer that is split once, by member, largest first."""
    names = [column.name for column in answer.columns]
    member, number = names.index(answer.by[0]), names.index(answer.metric.name)
    return {row[member]: row[number] for row in ranked(answer).rows}


@app.function(hide_code=True)
def largest(answer: Answer) -> Answer:
    """The first few rows of a ranked answer, for a chart."""
    return replace(answer, rows=ranked(answer).rows[:MOST_BARS])


@app.function(hide_code=True)
def left_out(*answers: Answer) -> str:
    """A sentence about what cannot be converted, and is not in these answers; empty if nothing is missing."""
    missing = [
        f"{counted(answer.unconverted, answer.metric.rows.grain)} of {answer.metric.name}"
        for answer in answers
        if answer.unconverted
    ]
    return f" Left out, because there is no exchange rate for their day: {', '.join(missing)}." if missing else ""


@app.function(hide_code=True)
def drawn(answer: Answer) -> mo.Html:
    """The platform's chart of an answer, as wide as the page."""
    chart = chart_of(answer).properties(width="container")
    return mo.as_html(chart.properties(height=260) if chart.mark.type == "line" else chart)


@app.function(hide_code=True)
def section(question: str, sentence: str, charts: list[Answer], careful: str) -> mo.Html:
    """A question and its answer, which a script prints."""
    if mo.app_meta().mode == "script":
        print(f"{question}\n{sentence}\n")
    return mo.vstack(
        [
            mo.md(f"## {question}"),
            mo.Html(f'<p style="font-size: 1.15rem">{escape(sentence)}</p>'),
            *(drawn(answer) for answer in charts if answer.rows),
            mo.md(f"**Keep in mind:** {careful}"),
        ]
    )


@app.function(hide_code=True)
def answered(warehouse: Warehouse) -> dict[str, Answer]:
    """All that is asked, by how it is asked, in one snapshot of the warehouse."""
    with warehouse.database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:

        def answer(asked: str, until: date | None = None) -> Answer:
            metric, _, by = asked.partition(" by ")
            return ask(connection, warehouse.schema, metric, by=by.split(", ") if by else (), until=until)

        answers = {asked: answer(asked) for asked in ASKED}
        as_of = answers["net_sales"].as_of
        until = None if as_of is None else day_before(month_of(as_of))
        return answers | {asked: answer(asked, until) for asked in ASKED_OF_COMPLETE_MONTHS}


if __name__ == "__main__":
    app.run()
