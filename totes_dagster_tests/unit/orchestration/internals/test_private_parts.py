"""Each private part of Dagster that the platform uses: the installed Dagster has it, and no other is used anywhere.

What becomes of the platform without one of them is in `docs/decisions/0005-dagsters-private-parts.md`.
"""

import ast
import inspect
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster_graphql.schema import create_schema
from graphql import parse, validate

import totes_dagster
from totes_dagster.orchestration.development import webserver

PACKAGE = Path(totes_dagster.__file__).parent
ROOT = PACKAGE.parent
INTERNALS = PACKAGE / "orchestration" / "internals"
RECORD = ROOT / "docs" / "decisions" / "0005-dagsters-private-parts.md"

STORAGE = "dagster._core.storage"
EVENT_LOG = f"{STORAGE}.event_log"
CHECK_RECORD = f"{STORAGE}.asset_check_execution_record"

PRIVATE = (
    # code_server
    "dagster._cli.main",
    "dagster._cli.utils",
    "dagster._cli.utils.get_env_var_dict",
    "dagster._daemon",
    "dagster._daemon.sensor",
    "dagster._daemon.sensor.MIN_INTERVAL_LOOP_TIME",
    "dagster._grpc.server",
    "dagster._grpc.server.DagsterApiServer",
    "dagster._grpc.server.DagsterApiServer._mp_ctx",
    # guarded_webserver
    "dagster._core.workspace.context.WorkspaceProcessContext",
    "dagster._core.workspace.context.WorkspaceProcessContext.get_current_workspace",
    "dagster._core.workspace.context.WorkspaceRequestContext",
    "dagster._core.workspace.load_target.WorkspaceFileTarget",
    "dagster.DagsterInstance.optimize_for_webserver",
    "dagster_webserver.cli.DEFAULT_DB_STATEMENT_TIMEOUT",
    "dagster_webserver.cli.DEFAULT_POOL_MAX_OVERFLOW",
    "dagster_webserver.cli.DEFAULT_POOL_RECYCLE",
    "dagster_webserver.webserver.DagsterWebserver",
    "dagster_webserver.webserver.DagsterWebserver._make_request_context",
    # preloaded
    "dagster._core.instance.ref",
    f"{EVENT_LOG}.sqlite",
    f"{STORAGE}.runs.sqlite",
    # run_history
    f"{EVENT_LOG}.schema.AssetCheckExecutionsTable",
    f"{EVENT_LOG}.schema.AssetEventTagsTable",
    f"{EVENT_LOG}.schema.SqlEventLogStorageTable",
    f"{EVENT_LOG}.sql_event_log.SqlEventLogStorage",
    f"{EVENT_LOG}.sql_event_log.SqlEventLogStorage.delete_events",
    f"{EVENT_LOG}.sql_event_log.SqlEventLogStorage.get_asset_check_summary_records",
    f"{EVENT_LOG}.sql_event_log.SqlEventLogStorage.index_connection",
    f"{EVENT_LOG}.sql_event_log.SqlEventLogStorage.index_transaction",
    f"{EVENT_LOG}.sql_event_log.SqlEventLogStorage.run_connection",
    f"{EVENT_LOG}.sqlite.SqliteEventLogStorage",
    f"{EVENT_LOG}.sqlite.SqliteEventLogStorage._initialized_dbs",
    f"{EVENT_LOG}.sqlite.SqliteEventLogStorage.path_for_shard",
    f"{STORAGE}.local_compute_log_manager.LocalComputeLogManager",
    f"{STORAGE}.local_compute_log_manager.LocalComputeLogManager.get_captured_local_path",
    f"{STORAGE}.runs.schema.RunsTable",
    f"{STORAGE}.runs.schema.RunTagsTable",
    f"{STORAGE}.runs.sql_run_storage.SqlRunStorage",
    f"{STORAGE}.runs.sql_run_storage.SqlRunStorage.connect",
    f"{STORAGE}.runs.sql_run_storage.SqlRunStorage.delete_run",
    # records, and what is made of them in the alerts
    f"{CHECK_RECORD}.AssetCheckExecutionRecord",
    f"{CHECK_RECORD}.AssetCheckExecutionRecordStatus.PLANNED",
    f"{EVENT_LOG}.sql_event_log.SqlEventLogStorage.get_latest_asset_check_execution_by_key",
    "dagster_shared.error.SerializableErrorInfo",
    # dagster.yaml
    "dagster._core.run_coordinator.DefaultRunCoordinator",
    "dagster._core.run_coordinator.QueuedRunCoordinator",
    # not marked as public, though without an underscore
    *(
        f"dagster.DagsterInstance.{name}"
        for name in (
            *("all_logs", "compute_log_manager", "event_log_storage", "from_config", "get_daemon_statuses"),
            *("get_run_stats", "get_runs", "report_run_failed", "run_storage", "upgrade"),
        )
    ),
)
"""Modules, and what is in them, by their dotted names. An attribute of an instance follows its class."""


def servicer(_: Path) -> Any:
    kind = resolved("dagster._grpc.server.DagsterApiServer")
    return kind(threading.Event(), logging.getLogger(), server_threadpool_executor=None)


INSTANCES: dict[str, Callable[[Path], Any]] = {
    "DagsterApiServer": servicer,
    "SqliteEventLogStorage": lambda folder: resolved(f"{EVENT_LOG}.sqlite.SqliteEventLogStorage")(str(folder)),
}
"""How to create an instance of a class, whose attributes the class itself does not show."""


def resolved(name: str) -> Any:
    """The module with a dotted name, or what a module calls so."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        parent, _, last = name.rpartition(".")
        if not parent:
            raise
        return getattr(resolved(parent), last)


@pytest.mark.parametrize("name", PRIVATE)
def test_dagster_has_it(name: str, tmp_path: Path) -> None:
    parent, _, last = name.rpartition(".")
    owner = parent.rpartition(".")[2]
    if owner in INSTANCES and not hasattr(resolved(parent), last):
        assert hasattr(INSTANCES[owner](tmp_path), last)
    else:
        resolved(name)


def test_what_is_replaced_is_what_dagsters_commands_look_up() -> None:
    api = inspect.getsource(import_module("dagster._cli.api"))
    assert re.search(r"^ +from dagster\._grpc\.server import .*\bDagsterApiServer\b", api, re.MULTILINE)
    assert "DagsterApiServer" not in vars(import_module("dagster._cli.api"))
    assert re.search(r"\bget_env_var_dict\(", inspect.getsource(resolved("dagster._cli.utils")))
    loop = inspect.getsource(resolved("dagster._daemon.sensor").execute_sensor_iteration_loop)
    assert re.search(r"\bMIN_INTERVAL_LOOP_TIME\b", loop)


def test_the_webserver_understands_what_it_is_asked() -> None:
    assert validate(create_schema().graphql_schema, parse(webserver._LOCATIONS)) == []


# What the sources use.


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def is_private(module: str) -> bool:
    return re.match(r"dagster(_[a-z]+)?\._|dagster_shared\b", module) is not None


def imported(tree: ast.Module) -> Iterator[str]:
    """The dotted names of the private parts that a module imports, or names in a string by which they are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and is_private(node.module):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^dagster(?:\w*)\._[\w.]+$", node.value)


def ours(tree: ast.Module) -> set[str]:
    """The names that a module defines: functions, classes, variables, and attributes that it assigns."""
    defined = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return defined


def underscored(tree: ast.AST) -> Iterator[str]:
    """The names with one underscore that are used as attributes or methods, other than those of a module like `os`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name
        elif isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "os"):
            name = node.attr
        else:
            continue
        if re.match("_[^_]", name):
            yield name


def inherited(module: Any) -> Iterator[str]:
    """The names with one underscore that a module's classes share with those of Dagster that they extend."""
    for kind in vars(module).values():
        if inspect.isclass(kind) and kind.__module__ == module.__name__:
            bases = [base for base in kind.__mro__ if base.__module__.startswith("dagster")]
            of_dagster = "".join(inspect.getsource(base) for base in bases)
            used = set(underscored(ast.parse(inspect.getsource(kind))))
            yield from (name for name in used if re.search(rf"\b{name}\b", of_dagster))


LAST = {name.rpartition(".")[2] for name in PRIVATE}


def test_every_private_import_is_in_the_table_and_in_the_internals() -> None:
    found = {path: set(imported(tree)) for path, tree in trees().items()}
    assert [path for path, names in found.items() if names and path.parent != INTERNALS] == []
    names = set().union(*found.values())
    assert len(names) > 10
    assert names - set(PRIVATE) == set()


def test_every_private_attribute_is_in_the_table_and_in_the_internals() -> None:
    found = {path: set(underscored(tree)) - ours(tree) for path, tree in trees().items()}
    assert [path for path, names in found.items() if names and path.parent != INTERNALS] == []
    assert set().union(*found.values()) - LAST == set()


def test_what_our_classes_share_with_those_that_they_extend_is_in_the_table() -> None:
    modules = [path.stem for path in INTERNALS.glob("*.py") if path.stem != "__init__"]
    found = {name: set(inherited(import_module(f"totes_dagster.orchestration.internals.{name}"))) for name in modules}
    assert found["code_server"] == {"_mp_ctx"}
    assert set().union(*found.values()) - LAST == set()


def test_every_private_class_that_a_configuration_names_is_in_the_table() -> None:
    files = [*PACKAGE.rglob("dagster.yaml"), *(ROOT / "deploy").rglob("dagster.yaml")]
    assert len(files) == 3
    sections = [section for file in files for section in yaml.safe_load(file.read_text()).values()]
    named = {f"{section['module']}.{section['class']}" for section in sections if "class" in section}
    private = {name for name in named if is_private(name)}
    assert private == {name for name in PRIVATE if ".run_coordinator." in name}


def test_the_table_and_the_record_of_the_decision_have_nothing_that_is_not_used() -> None:
    sources = "".join(path.read_text() for path in [*trees(), *(ROOT / "deploy").rglob("dagster.yaml")])
    sources += "".join(path.read_text() for path in PACKAGE.rglob("dagster.yaml"))
    assert [name for name in sorted(LAST) if not re.search(rf"\b{name}\b", sources)] == []


def test_the_record_of_the_decision_names_each() -> None:
    record = RECORD.read_text()
    modules = [name for name in PRIVATE if name in sys.modules]
    last = [name.rpartition(".")[2] for name in PRIVATE if name not in modules]
    assert len(modules) > 3
    assert [name for name in [*modules, *last] if not re.search(rf"\b{name}\b", record)] == []
