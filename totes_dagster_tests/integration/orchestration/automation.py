"""What sensors and schedules make of a graph: what they request, and the reasons for which they request nothing."""

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterRunStatus,
    RunRequest,
    ScheduleDefinition,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)

from totes_dagster.orchestration.sensors import totesys_changes
from totes_dagster_tests.integration.graph import Graph


def look(graph: Graph, cursor: str | None = None) -> tuple[RunRequest | SkipReason, str | None]:
    """One evaluation of the sensor: what it returned, and the cursor that it left."""
    resources = {name: graph.resources[name] for name in ("totesys", "ingestion_zone")}
    with build_sensor_context(instance=graph.instance, resources=resources, cursor=cursor) as context:
        answer = totesys_changes(context)
        assert isinstance(answer, RunRequest | SkipReason)
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


def scheduled(schedule: ScheduleDefinition, graph: Graph) -> RunRequest | SkipReason:
    """What a schedule returns when it is due."""
    answer = schedule(build_schedule_context(instance=graph.instance))
    assert isinstance(answer, RunRequest | SkipReason)
    return answer


def start(graph: Graph, job: str, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> str:
    """A run of a job that another process is at work on."""
    definition = graph.definitions.resolve_job_def(job)
    return graph.instance.create_run_for_job(definition, status=status).run_id


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
