"""What sensors and schedules make of a graph: what they request, and the reasons for which they request nothing."""

from dagster import (
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterRunStatus,
    RunRequest,
    ScheduleDefinition,
    SensorResult,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)

from totes_dagster.orchestration.recorded import confirmations, remodelled_by_load
from totes_dagster.orchestration.sensors import totesys_changes
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.warehouse.status import warehouse_status
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.resources import WATCHED


def look(graph: Graph, cursor: str | None = None) -> tuple[RunRequest | SkipReason | SensorResult, str | None]:
    """One evaluation of the sensor: what it returned, and the cursor that it left."""
    resources = {name: graph.resources[name] for name in WATCHED}
    with build_sensor_context(instance=graph.instance, resources=resources, cursor=cursor) as context:
        answer = totesys_changes(context)
        assert isinstance(answer, RunRequest | SkipReason | SensorResult)
        return answer, context.cursor


def requested(graph: Graph, cursor: str | None = None) -> str:
    """The tables for which the sensor requests a refresh."""
    request, _ = look(graph, cursor)
    assert isinstance(request, RunRequest)
    return request.tags["totes/changed"]


def skipped(graph: Graph, cursor: str | None = None) -> str:
    """The reason for which the sensor requests nothing."""
    skip, _ = look(graph, cursor)
    assert isinstance(skip, SkipReason)
    assert skip.skip_message is not None
    return skip.skip_message


def confirmed(graph: Graph) -> list[AssetMaterialization]:
    """What the sensor confirms without a run, after the daemon has recorded it."""
    result, _ = look(graph)
    assert isinstance(result, SensorResult)
    events = []
    for event in result.asset_events:
        assert isinstance(event, AssetMaterialization)
        graph.instance.report_runless_asset_event(event)
        events.append(event)
    return events


def confirm(graph: Graph) -> None:
    """Have Dagster know what the warehouse shows, and what was remodelled."""
    status = warehouse_status(graph.platform.warehouse)
    for event in confirmations(
        STAR_TABLES, status.newest, dict.fromkeys(STAR_TABLES, status.newest.batch), status.rows
    ):
        graph.instance.report_runless_asset_event(event)
    for star in STAR_TABLES:
        graph.instance.report_runless_asset_event(remodelled_by_load(star, status.newest.batch))


def scheduled(schedule: ScheduleDefinition, graph: Graph) -> RunRequest | SkipReason:
    """What a schedule returns when it is due."""
    resources = {"ingestion_zone": graph.resources["ingestion_zone"]}
    with build_schedule_context(instance=graph.instance, resources=resources) as context:
        answer = schedule(context)
    assert isinstance(answer, RunRequest | SkipReason)
    return answer


def start(graph: Graph, job: str, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> str:
    """A run of a job that another process is at work on."""
    definition = graph.definitions.resolve_job_def(job)
    return graph.instance.create_run_for_job(definition, status=status, tags=definition.tags).run_id


def succeed(graph: Graph, job: str) -> str:
    """A run of a job that succeeded just now, by Dagster's own record of it."""
    run = start(graph, job)
    report_success(graph, job, run)
    return run


def fail(graph: Graph, job: str) -> str:
    """A run of a job that failed just now, by Dagster's own record of it."""
    run = graph.instance.get_run_by_id(start(graph, job))
    assert run is not None
    graph.instance.report_run_failed(run)
    return run.run_id


def report_success(graph: Graph, job: str, run: str) -> None:
    """Have Dagster record that a run of a job succeeded."""
    event = DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, job, message="It succeeded.")
    graph.instance.report_dagster_event(event, run)


def edit(graph: Graph) -> None:
    """Change the table staff."""
    graph.change("update staff set first_name = first_name || '!' where staff_id = 1")
