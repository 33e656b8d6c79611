"""The sensor as Dagster's daemon evaluates it, and small jobs whose runs it finds."""

from dataclasses import dataclass, field
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    Failure,
    JobDefinition,
    OpExecutionContext,
    SkipReason,
    build_sensor_context,
    job,
    op,
)

from totes_dagster.orchestration.alerts.incidents import Watch
from totes_dagster.orchestration.alerts.sensor import alerts_sensor
from totes_dagster.orchestration.jobs import JOB_TAG
from totes_dagster.orchestration.resources.alerts import Alerts

UI = "https://dagster.example.com"


@dataclass
class Watcher:
    """One evaluation after the other, each with the cursor that the last one to succeed left."""

    instance: DagsterInstance
    topic: str = ""
    kind: type[Alerts] = Alerts
    cursor: str | None = None
    said: list[str] = field(default_factory=list)

    def tick(self) -> str:
        """One evaluation, and the reason that it gives for requesting nothing."""
        resources = {"alerts": self.kind(topic=self.topic, ui_url=UI)}
        with build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources) as context:
            skipped = alerts_sensor(context)
            self.cursor = context.cursor
        assert isinstance(skipped, SkipReason)
        self.said.append(skipped.skip_message or "")
        return self.said[-1]

    @property
    def watch(self) -> Watch:
        """What it knows."""
        watch = Watch.resumed(self.cursor)
        assert watch is not None
        return watch


@op(config_schema={"fails": bool, "why": str})
def work(context: OpExecutionContext) -> None:
    if context.op_config["fails"]:
        raise Failure(context.op_config["why"]) if context.op_config["why"] else ZeroDivisionError("by hand")


def _named(name: str, tags: dict[str, str]) -> JobDefinition:
    @job(name=name, tags=tags)
    def small() -> None:
        work()

    return small


JOBS = {name: _named(name, {JOB_TAG: name}) for name in ("refresh", "reconcile", "prune")}
"""Jobs that are known as the platform's."""

OTHERS = {name: _named(name, {}) for name in ("refresh", "reconcile", "theirs")}
"""Jobs of another code location, some of which have names of the platform's."""


def run(
    instance: DagsterInstance,
    name: str = "refresh",
    *,
    fails: bool = False,
    why: str = "A reason.",
    jobs: dict[str, JobDefinition] = JOBS,
) -> str:
    """Run a job in this process; its id."""
    config: dict[str, Any] = {"ops": {"work": {"config": {"fails": fails, "why": why}}}}
    return jobs[name].execute_in_process(config, instance=instance, raise_on_error=False).run_id


def fail(instance: DagsterInstance, name: str = "refresh", why: str = "A reason.") -> str:
    """Run a job that fails; its id."""
    return run(instance, name, fails=True, why=why)


def create(instance: DagsterInstance, status: DagsterRunStatus, name: str = "refresh") -> str:
    """A run that nobody is at work on; its id."""
    config = {"ops": {"work": {"config": {"fails": True, "why": ""}}}}
    return instance.create_run_for_job(JOBS[name], run_config=config, status=status, tags=JOBS[name].tags).run_id
