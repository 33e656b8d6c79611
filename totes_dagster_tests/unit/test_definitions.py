"""What Dagster is shown: every table of every stage, described, and all automation on."""

import pytest
from dagster import AssetKey, AssetSpec, DefaultScheduleStatus, DefaultSensorStatus, Definitions, TableSchema

from totes_dagster.definitions import build_defs
from totes_dagster.errors import SettingsError
from totes_dagster.feeds.declared import FEEDS, Feed
from totes_dagster.orchestration.assets.views import tables_of
from totes_dagster.orchestration.definitions import resources_from_environment
from totes_dagster.schema import totesys
from totes_dagster.schema.registry import STAR_TABLES, inputs_of
from totes_dagster.schema.star import remodelled_columns
from totes_dagster.schema.views import VIEWS
from totes_dagster_tests.settings import ALL, SECRETS

_FEED_FACTS = {feed.fact.name: feed for feed in FEEDS.values()}
GROUPS = {
    "totesys": list(totesys.SOURCE_TABLES),
    "landing": list(FEEDS),
    "ingestion": [*totesys.SOURCE_TABLES, *FEEDS],
    "processed": [*STAR_TABLES, *_FEED_FACTS],
    "warehouse": [*STAR_TABLES, *_FEED_FACTS],
}
DERIVED = {"warehouse/rate_on_day": "views", **{f"views/{view}": "views" for view in VIEWS}}
"""The group of each asset that is no step's: what the warehouse shows of its tables."""

KINDS = {
    "landing": {"file"},
    "totesys": {"postgres", "table"},
    "ingestion": {"s3", "parquet"},
    "processed": {"s3", "parquet", "pandas"},
    "warehouse": {"postgres", "table"},
}


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *ALL,
        *SECRETS,
        "WAREHOUSE_SCHEMA",
        "TOTES_ALERT_TOPIC",
        "TOTES_UI_URL",
        "TOTES_LANDING",
        "TOTES_RATES_URL",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def definitions() -> Definitions:
    return build_defs()


@pytest.fixture
def specs(definitions: Definitions) -> dict[str, AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_every_table_of_every_stage_is_an_asset(definitions: Definitions, specs: dict[str, AssetSpec]) -> None:
    expected = {f"{group}/{table}": group for group, tables in GROUPS.items() for table in tables}
    assert {name: spec.group_name for name, spec in specs.items()} == expected | DERIVED
    loaded = 2 * len(totesys.SOURCE_TABLES) + 2 * len(STAR_TABLES) + 4 * len(FEEDS)
    assert len(specs) == loaded + len(DERIVED)
    external = {key.to_user_string() for key in definitions.resolve_asset_graph().external_asset_keys}
    assert external == {
        *(f"totesys/{table}" for table in totesys.SOURCE_TABLES),
        *(f"landing/{feed}" for feed in FEEDS),
        *DERIVED,
    }


def test_every_asset_says_what_it_is(specs: dict[str, AssetSpec]) -> None:
    for name, spec in specs.items():
        group, table = name.split("/")
        if table in FEEDS or table in _FEED_FACTS or name in DERIVED:
            continue
        declared = (totesys.SOURCE_TABLES if group in {"totesys", "ingestion"} else STAR_TABLES)[table]
        assert spec.kinds == KINDS[group]
        assert spec.owners
        assert spec.description
        assert spec.description.startswith(str(declared.comment))
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, TableSchema)
        expected = remodelled_columns(declared) if group == "processed" else list(declared.columns)
        assert [column.name for column in schema.columns] == [column.name for column in expected]
        assert all(column.description for column in schema.columns)


def test_every_asset_of_a_feed_says_what_it_is(specs: dict[str, AssetSpec]) -> None:
    for group, tables in GROUPS.items():
        for table in tables:
            feed = FEEDS.get(table) or _FEED_FACTS.get(table)
            if feed is None:
                continue
            spec = specs[f"{group}/{table}"]
            assert spec.kinds == KINDS[group]
            assert spec.owners
            assert str(spec.description).startswith(feed.description if table in FEEDS else str(feed.fact.comment))
            schema = spec.metadata["dagster/column_schema"]
            assert isinstance(schema, TableSchema)
            columns = schema.columns
            declared = {"processed": remodelled_columns(feed.fact), "warehouse": [*feed.fact.columns]}
            expected = [column.name for column in declared.get(group, [])] or feed.columns.names
            assert [column.name for column in columns] == expected
            assert all(column.description for column in columns)


def test_every_view_says_what_it_shows(specs: dict[str, AssetSpec]) -> None:
    for view in VIEWS.values():
        spec = specs[f"views/{view.name}"]
        assert spec.kinds == {"postgres", "view"}
        assert spec.owners
        assert str(spec.description).startswith(view.comment)
        schema = spec.metadata["dagster/column_schema"]
        assert {column.name: column.description for column in schema.columns} == view.columns
    assert specs["warehouse/rate_on_day"].description
    assert "net_sales" in specs["views/sale"].metadata["metrics"].split(", ")


def test_column_schemas_tell_types_keys_and_references(specs: dict[str, AssetSpec]) -> None:
    schema = specs["warehouse/fact_payment"].metadata["dagster/column_schema"]
    shown = {
        column.name: (column.type, column.constraints.nullable, column.constraints.unique, column.constraints.other)
        for column in schema.columns
    }
    assert shown["payment_record_id"] == ("bigint", False, True, [])
    assert shown["payment_amount"] == ("numeric(10,2)", False, False, [])
    assert shown["payment_date"] == ("date", False, False, ["references dim_date.date_id"])
    (district,) = [
        column
        for column in specs["totesys/address"].metadata["dagster/column_schema"].columns
        if column.name == "district"
    ]
    assert district.constraints.nullable


def test_every_asset_depends_on_its_tables_of_the_stage_before(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    upstream = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert upstream == {
        **{f"totesys/{table}": set() for table in totesys.SOURCE_TABLES},
        **{f"ingestion/{table}": {f"totesys/{table}"} for table in totesys.SOURCE_TABLES},
        **{f"processed/{star}": {f"ingestion/{table}" for table in inputs_of(star)} for star in STAR_TABLES},
        **{f"warehouse/{star}": {f"processed/{star}"} for star in STAR_TABLES},
        **{f"landing/{feed}": set() for feed in FEEDS},
        **{f"ingestion/{feed}": {f"landing/{feed}"} for feed in FEEDS},
        **{f"processed/{fact}": {f"ingestion/{feed.name}"} for fact, feed in _FEED_FACTS.items()},
        **{f"warehouse/{fact}": {f"processed/{fact}"} for fact in _FEED_FACTS},
        "warehouse/rate_on_day": {"warehouse/fact_exchange_rate", "warehouse/dim_currency", "warehouse/dim_date"},
        # The integration tests compare this with a warehouse.
        **{f"views/{view}": {f"warehouse/{table}" for table in tables_of(view)} for view in VIEWS},
    }


def test_both_jobs_run_the_whole_chain(definitions: Definitions) -> None:
    feeds = {*FEEDS, *_FEED_FACTS}
    groups = {group: set(GROUPS[group]) - feeds for group in ("ingestion", "processed", "warehouse")}
    everything = {f"{group}/{table}" for group, tables in groups.items() for table in tables}
    for name in ("refresh", "reconcile"):
        job = definitions.resolve_job_def(name)
        assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == everything
        assert job.description


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_the_job_of_a_feed_runs_its_chain_and_nothing_else(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = {f"ingestion/{feed.name}", f"processed/{feed.fact.name}", f"warehouse/{feed.fact.name}"}
    assert _executed(build_defs(), f"take_{feed.name}") == chain
    monkeypatch.setenv("TOTES_RATES_URL", "http://127.0.0.1:1")
    fetched = {"landing/exchange_rate"} if feed.name == "exchange_rate" else set()
    assert _executed(build_defs(), f"take_{feed.name}") == chain | fetched


def _executed(definitions: Definitions, job: str) -> set[str]:
    keys = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
    return {key.to_user_string() for key in keys}


def test_all_automation_is_on(definitions: Definitions) -> None:
    sensors = {sensor.name: sensor.default_status for sensor in definitions.sensors or []}
    schedules = {schedule.name: schedule.default_status for schedule in definitions.schedules or []}
    assert set(sensors) >= {"totesys_changes", "alerts"}
    assert set(schedules) >= {"refresh_every_15_minutes", "reconcile_nightly"}
    assert set(sensors.values()) == {DefaultSensorStatus.RUNNING}
    assert set(schedules.values()) == {DefaultScheduleStatus.RUNNING}


def test_steps_run_in_the_process_of_their_run(definitions: Definitions) -> None:
    assert definitions.resolve_job_def("refresh").executor_def.name == "in_process"


def test_secrets_of_the_environment_are_named_and_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WAREHOUSE_SCHEMA", "analytics")
    assert "s3cret" not in repr(resources_from_environment())
    repository = build_defs().get_repository_def()
    shown = str({key: resource.config_schema for key, resource in repository.get_top_level_resources().items()})
    assert "s3cret" not in shown


def test_alerts_go_where_the_environment_says_and_to_the_log_where_it_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alerts = resources_from_environment()["alerts"].process_config_and_initialize()
    assert (alerts.topic, alerts.link_to) == ("", "http://127.0.0.1:3000")
    topic = "arn:aws:sns:eu-west-2:123456789012:alerts"
    monkeypatch.setenv("TOTES_ALERT_TOPIC", topic)
    monkeypatch.setenv("TOTES_UI_URL", "https://dagster.example.com/")
    alerts = resources_from_environment()["alerts"].process_config_and_initialize()
    assert (alerts.topic, alerts.link_to) == (topic, "https://dagster.example.com")


def test_half_configured_definitions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTESYS_URL", ALL["TOTESYS_URL"])
    with pytest.raises(SettingsError, match="TOTES_PROCESSED_LAKE"):
        build_defs()


def test_resources_can_be_given_all_or_some() -> None:
    given = object()
    assert build_defs({"totesys": given}).resources["totesys"] is given  # type: ignore[index]
    assert set(build_defs({"totesys": given}).resources or {}) >= {"warehouse", "ingestion_zone", "processed_zone"}


def test_keys_are_those_that_the_documentation_names(specs: dict[str, AssetSpec]) -> None:
    assert specs["ingestion/sales_order"].key == AssetKey(["ingestion", "sales_order"])
