"""What analysts query besides the tables that are loaded, as external assets: the views, and the rate of each day.

What a view shows is declared in `schema/views.py`. The SQL of migrations says what it reads and which types its columns
have; the tests compare what is said here with a migrated warehouse.
"""

from dagster import AssetKey, AssetSpec, TableColumn, TableSchema

from totes_dagster.metrics.registry import METRICS
from totes_dagster.orchestration.assets.warehouse import SCHEMA
from totes_dagster.orchestration.specs import OWNERS, column_schema, key_of_loaded
from totes_dagster.postgres.types import sql_type
from totes_dagster.schema.feeds import rate_on_day
from totes_dagster.schema.registry import DIMENSIONS, FACTS, FEED_FACTS
from totes_dagster.schema.views import VIEWS, View

READS = {
    "as_of": (),
    "sale": ("fact_sales_order", "dim_currency", "rate_on_day"),
    "purchase": ("fact_purchase_order", "dim_currency", "rate_on_day"),
    "settlement": (
        "fact_payment",
        "fact_sales_order",
        "fact_purchase_order",
        "fact_exchange_rate",
        "dim_transaction",
        "dim_payment_type",
        "dim_currency",
        "rate_on_day",
        "as_of",
    ),
    "delivery": ("fact_sales_order", "fact_shipment"),
    "sales_target": ("fact_sales_target", "dim_staff", "sale"),
    "unconverted": ("sale", "purchase", "settlement"),
}
"""The tables and views that each view reads. It reads a fact through the view of the newest versions, `current_*`. The
bookkeeping that `as_of` reads has no assets."""

_RATES = ("fact_exchange_rate", "dim_currency", "dim_date")
"""The tables that `rate_on_day` is computed from."""

_COMPUTED = {
    **dict.fromkeys(("batch", "shipments", "units_delivered", "orders", "unconverted"), "bigint"),
    **dict.fromkeys(("id", "sign", "days_late"), "integer"),
    **dict.fromkeys(("day", "as_of", "paid_on", "ordered_on", "first_delivered_date", "complete_date"), "date"),
    **dict.fromkeys(("amount", "amount_gbp", "cash_gbp", "closing_gbp", "booked_gbp", "sales_gbp"), "numeric"),
    **dict.fromkeys(("ageing", "promise", "kind"), "text"),
    "exchange_gain_gbp": "numeric",
    "moment": "timestamp with time zone",
    "target_gbp": "numeric(14,2)",
}
"""The types of columns that no table has under that name, or has with another type."""

_TABLES = {**DIMENSIONS, **FACTS, **FEED_FACTS, rate_on_day.name: rate_on_day}
_TYPES = {column.name: sql_type(column) for table in _TABLES.values() for column in table.columns} | _COMPUTED


def key_of_view(view: str) -> AssetKey:
    """Key of a view of the warehouse."""
    return AssetKey(["views", view])


def tables_of(view: str) -> set[str]:
    """The tables of the star schemas that a view reads, also by way of others.

    These are what its asset depends on. With edges between views, Dagster's graph would have no columns: it would draw
    each table beside what reads it, and the groups one below the other.
    """
    tables: set[str] = set()
    for name in READS[view]:
        tables |= tables_of(name) if name in VIEWS else set(_RATES) if name == rate_on_day.name else {name}
    return tables


def _view_asset(view: View) -> AssetSpec:
    metrics = [metric.name for metric in METRICS.values() if metric.rows.relation.view == view.name]
    columns = [TableColumn(name, _TYPES[name], description) for name, description in view.columns.items()]
    return AssetSpec(
        key_of_view(view.name),
        deps=[key_of_loaded(name) for name in sorted(tables_of(view.name))],
        group_name="views",
        description=f"{view.comment} A view: it shows what its tables hold at the moment of a query.",
        kinds={"postgres", "view"},
        owners=OWNERS,
        tags={"stage": "views"},
        metadata={
            "dagster/table_name": f"{SCHEMA}.{view.name}",
            "dagster/column_schema": TableSchema(columns),
            "reads": ", ".join(READS[view.name]),
            **({"metrics": ", ".join(metrics)} if metrics else {}),
        },
    )


_rate_on_day_asset = AssetSpec(
    key_of_loaded(rate_on_day.name),
    deps=[key_of_loaded(name) for name in _RATES],
    group_name="views",  # it is computed from tables of the warehouse, as these are
    description=f"{rate_on_day.comment} Kept by each load that changes the rates, the calendar or the currencies.",
    kinds={"postgres", "table"},
    owners=OWNERS,
    tags={"stage": "warehouse"},
    metadata={
        "dagster/table_name": f"{SCHEMA}.{rate_on_day.name}",
        "dagster/column_schema": column_schema(rate_on_day),
    },
)

view_assets = [_rate_on_day_asset, *map(_view_asset, VIEWS.values())]
