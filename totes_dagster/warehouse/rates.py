"""Keeping `rate_on_day`: the exchange rate that holds on each day, for each currency."""

from psycopg import sql

from totes_dagster.schema.feeds import rate_on_day
from totes_dagster.schema.registry import CALENDAR, DIMENSIONS
from totes_dagster.warehouse.staging import StagingTransaction

CARRIED_DAYS = 7
"""For how many days a rate holds if no newer one is published. The longest time without one, at Easter, is 4 days."""


def keep_rates(transaction: StagingTransaction) -> None:
    """Bring `rate_on_day` up to date with the rates, the calendar and the currencies.

    It has the days of the calendar from the first rate on until the last one no longer holds: one wrong date in the
    source can add thousands of years to the calendar. Rows that are right already are not touched.
    """
    changed = transaction.execute(
        sql.SQL(
            """
            with published as (
                select quote_code, rate_date, rate,
                       lead(rate_date) over (partition by quote_code order by rate_date) - rate_date as days
                from {current} where quote_code <> 'EUR'
                  and rate_date between (select min(date_id) from {calendar}) - {carried}
                                    and (select max(date_id) from {calendar})),
            day as materialized (
                select date_id from {calendar}
                where date_id between (select min(rate_date) from published)
                                  and (select max(rate_date) + {carried} from published)),
            held as materialized (
                select rate_date + age as date_id, quote_code, rate, rate_date
                from published cross join generate_series(0, {carried}) as age where age < coalesce(days, age + 1)
                union all
                select date_id, 'EUR', 1, date_id from day),
            wanted as materialized (
                select day.date_id, currency_id, currency_code, own.rate as per_eur, pound.rate as gbp_per_eur,
                       case when own.rate_date is not null and pound.rate_date is not null
                            then least(own.rate_date, pound.rate_date) end as rate_date
                from day cross join {currency} as currency
                left join held as own on (own.date_id, own.quote_code) = (day.date_id, currency.currency_code)
                left join held as pound on (pound.date_id, pound.quote_code) = (day.date_id, 'GBP')
                where currency_code is not null), -- an adopted table may have one without
            removed as (
                delete from {rates} as rate
                where not exists (select from wanted where (wanted.date_id, wanted.currency_id)
                                                           = (rate.date_id, rate.currency_id)))
            insert into {rates} as rate (date_id, currency_id, currency_code, per_eur, gbp_per_eur, rate_date)
            select date_id, currency_id, currency_code, per_eur, gbp_per_eur, rate_date from wanted
            on conflict (date_id, currency_id) do update
            set (currency_code, per_eur, gbp_per_eur, rate_date)
                = (excluded.currency_code, excluded.per_eur, excluded.gbp_per_eur, excluded.rate_date)
            where (rate.currency_code, rate.per_eur, rate.gbp_per_eur, rate.rate_date)
                  is distinct from
                  (excluded.currency_code, excluded.per_eur, excluded.gbp_per_eur, excluded.rate_date)
            """
        ).format(
            current=sql.Identifier(transaction.schema, "current_exchange_rate"),
            calendar=transaction.name_of(CALENDAR),
            currency=transaction.name_of(DIMENSIONS["dim_currency"]),
            rates=transaction.name_of(rate_on_day),
            carried=sql.Literal(CARRIED_DAYS),
        )
    )
    if changed:
        transaction.analyze(rate_on_day)
