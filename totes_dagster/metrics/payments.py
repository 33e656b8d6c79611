"""Metrics of payments: what is open, what was paid, how late, and what a change of rates gained."""

from psycopg.sql import SQL

from totes_dagster.metrics.dimensions import DATES
from totes_dagster.metrics.metric import (
    COUNT,
    MEDIAN,
    NINE_TENTHS,
    Metric,
    Rows,
    Unit,
    missing,
    percentile,
    share,
    total,
)
from totes_dagster.metrics.relations import SETTLEMENT, UNCONVERTED

_OF_ANY = (*DATES, "currency", "payment_type")
_OF_CUSTOMERS = (*_OF_ANY, "customer_of", "customer")
_OF_SUPPLIERS = (*_OF_ANY, "supplier_of", "supplier")
_GRAIN = "payment"


_CLOSING = SQL("settlement.closing_gbp")
_CASH = SQL("settlement.cash_gbp")
_GAIN = SQL("settlement.exchange_gain_gbp")

_OPEN_OF_CUSTOMERS = SQL("settlement.transaction_type = 'SALE' and not settlement.paid")
_OPEN_OF_SUPPLIERS = SQL("settlement.transaction_type = 'PURCHASE' and not settlement.paid")
_OPEN_OF_EITHER = SQL("settlement.transaction_type in ('SALE', 'PURCHASE') and not settlement.paid")
_PAID_BY_CUSTOMERS = SQL("settlement.transaction_type = 'SALE' and settlement.paid")
_PAID_TO_SUPPLIERS = SQL("settlement.transaction_type = 'PURCHASE' and settlement.paid")
_DUE_FROM_CUSTOMERS = SQL(
    "settlement.transaction_type = 'SALE' and settlement.sign = 1 and settlement.payment_date <= settlement.as_of"
)
_DUE_TO_SUPPLIERS = SQL(
    "settlement.transaction_type = 'PURCHASE' and settlement.sign = -1 and settlement.payment_date <= settlement.as_of"
)
_DAYS_LATE = SQL("settlement.days_late")
_IS_LATE = SQL("settlement.days_late > 0")

_WITHOUT_RATE = Rows("order or payment", UNCONVERTED, SQL("unconverted.day"), "the day whose rate is missing")
_DUE_PAYMENTS = Rows(_GRAIN, SETTLEMENT, SQL("settlement.payment_date"), "the due date")
_MADE_PAYMENTS = Rows(_GRAIN, SETTLEMENT, SQL("settlement.paid_on"), "the day on which the payment was made")

_OPEN = (
    Metric(
        "open_receivables",
        "What customers have yet to pay, less what is to be refunded to them, in pounds sterling, each payment "
        "converted and rounded at the rate of the day that the warehouse shows.",
        Unit.GBP,
        _DUE_PAYMENTS,
        total(SQL("settlement.sign * settlement.closing_gbp")),
        (*_OF_CUSTOMERS, "ageing"),
        condition=_OPEN_OF_CUSTOMERS,
        unconverted=missing(_CLOSING),
    ),
    Metric(
        "open_receivables_in_own_currency",
        "What customers have yet to pay, less what is to be refunded to them, in the currency of the payment, for one "
        "currency at a time.",
        Unit.OWN_CURRENCY,
        _DUE_PAYMENTS,
        total(SQL("settlement.sign * settlement.payment_amount")),
        (*_OF_CUSTOMERS, "ageing"),
        condition=_OPEN_OF_CUSTOMERS,
    ),
    Metric(
        "open_payables",
        "What is yet to be paid to suppliers, less what they are to refund, in pounds sterling, each payment converted "
        "and rounded at the rate of the day that the warehouse shows.",
        Unit.GBP,
        _DUE_PAYMENTS,
        total(SQL("- settlement.sign * settlement.closing_gbp")),
        (*_OF_SUPPLIERS, "ageing"),
        condition=_OPEN_OF_SUPPLIERS,
        unconverted=missing(_CLOSING),
    ),
    Metric(
        "open_payables_in_own_currency",
        "What is yet to be paid to suppliers, less what they are to refund, in the currency of the payment, for one "
        "currency at a time.",
        Unit.OWN_CURRENCY,
        _DUE_PAYMENTS,
        total(SQL("- settlement.sign * settlement.payment_amount")),
        (*_OF_SUPPLIERS, "ageing"),
        condition=_OPEN_OF_SUPPLIERS,
    ),
    Metric(
        "cash_expected",
        "What open payments will bring in, less what they will take out, in pounds sterling, each converted and "
        "rounded at the rate of the day that the warehouse shows.",
        Unit.GBP,
        _DUE_PAYMENTS,
        total(SQL("settlement.sign * settlement.closing_gbp")),
        (*_OF_ANY, "ageing", "transaction_type"),
        condition=_OPEN_OF_EITHER,
        unconverted=missing(_CLOSING),
    ),
    Metric(
        "cash_expected_in_own_currency",
        "What open payments will bring in, less what they will take out, in the currency of the payment, for one "
        "currency at a time.",
        Unit.OWN_CURRENCY,
        _DUE_PAYMENTS,
        total(SQL("settlement.sign * settlement.payment_amount")),
        (*_OF_ANY, "ageing", "transaction_type"),
        condition=_OPEN_OF_EITHER,
    ),
    Metric(
        "open_payments",
        "Number of payments that have not been made.",
        Unit.PAYMENTS,
        _DUE_PAYMENTS,
        COUNT,
        (*_OF_ANY, "ageing", "transaction_type"),
        condition=SQL("not settlement.paid"),
    ),
)

_MADE = (
    Metric(
        "cash_received",
        "What customers have paid, less what was refunded to them, in pounds sterling, each payment converted and "
        "rounded at the rate of the day on which it was made.",
        Unit.GBP,
        _MADE_PAYMENTS,
        total(SQL("settlement.sign * settlement.cash_gbp")),
        _OF_CUSTOMERS,
        condition=_PAID_BY_CUSTOMERS,
        unconverted=missing(_CASH),
    ),
    Metric(
        "cash_received_in_own_currency",
        "What customers have paid, less what was refunded to them, in the currency of the payment, for one currency at "
        "a time.",
        Unit.OWN_CURRENCY,
        _MADE_PAYMENTS,
        total(SQL("settlement.sign * settlement.payment_amount")),
        _OF_CUSTOMERS,
        condition=_PAID_BY_CUSTOMERS,
    ),
    Metric(
        "cash_paid",
        "What suppliers have been paid, less what they refunded, in pounds sterling, each payment converted and "
        "rounded at the rate of the day on which it was made.",
        Unit.GBP,
        _MADE_PAYMENTS,
        total(SQL("- settlement.sign * settlement.cash_gbp")),
        _OF_SUPPLIERS,
        condition=_PAID_TO_SUPPLIERS,
        unconverted=missing(_CASH),
    ),
    Metric(
        "cash_paid_in_own_currency",
        "What suppliers have been paid, less what they refunded, in the currency of the payment, for one currency at a "
        "time.",
        Unit.OWN_CURRENCY,
        _MADE_PAYMENTS,
        total(SQL("- settlement.sign * settlement.payment_amount")),
        _OF_SUPPLIERS,
        condition=_PAID_TO_SUPPLIERS,
    ),
    Metric(
        "exchange_gain",
        "What payments that were made are worth more, or cost less, in pounds sterling at the rate of the day on which "
        "they were made than at that of the day on which their order was placed; negative for a loss.",
        Unit.GBP,
        _MADE_PAYMENTS,
        total(_GAIN),
        (*_OF_ANY, "transaction_type"),
        condition=SQL("settlement.transaction_type in ('SALE', 'PURCHASE') and settlement.paid"),
        unconverted=missing(_GAIN),
    ),
)

_LATE = (
    Metric(
        "days_late",
        "Median of the days from the due date of customers' payments to the day on which they were made, of those due "
        "by now; one that is still open counts with the days until now.",
        Unit.DAYS,
        _DUE_PAYMENTS,
        percentile(MEDIAN, _DAYS_LATE),
        _OF_CUSTOMERS,
        condition=_DUE_FROM_CUSTOMERS,
        additive=False,
    ),
    Metric(
        "days_late_p90",
        "Days from the due date to the day on which the payment was made that nine in ten customers' payments due by "
        "now do not exceed; one that is still open counts with the days until now.",
        Unit.DAYS,
        _DUE_PAYMENTS,
        percentile(NINE_TENTHS, _DAYS_LATE),
        _OF_CUSTOMERS,
        condition=_DUE_FROM_CUSTOMERS,
        additive=False,
    ),
    Metric(
        "share_paid_late",
        "Share of customers' payments due by now that were made after their due date, or are open and overdue.",
        Unit.SHARE,
        _DUE_PAYMENTS,
        share(_IS_LATE),
        _OF_CUSTOMERS,
        condition=_DUE_FROM_CUSTOMERS,
        additive=False,
    ),
    Metric(
        "days_late_to_suppliers",
        "Median of the days from the due date of payments to suppliers to the day on which they were made, of those "
        "due by now; one that is still open counts with the days until now.",
        Unit.DAYS,
        _DUE_PAYMENTS,
        percentile(MEDIAN, _DAYS_LATE),
        _OF_SUPPLIERS,
        condition=_DUE_TO_SUPPLIERS,
        additive=False,
    ),
    Metric(
        "share_paid_late_to_suppliers",
        "Share of payments to suppliers due by now that were made after their due date, or are open and overdue.",
        Unit.SHARE,
        _DUE_PAYMENTS,
        share(_IS_LATE),
        _OF_SUPPLIERS,
        condition=_DUE_TO_SUPPLIERS,
        additive=False,
    ),
)

_UNCONVERTED = Metric(
    "unconverted",
    "Number of orders and payments without an amount in pounds sterling, because there is no rate for their day.",
    Unit.RECORDS,
    _WITHOUT_RATE,
    COUNT,
    (*DATES, "currency", "kind"),
)

PAYMENTS = (*_OPEN, *_MADE, *_LATE, _UNCONVERTED)
