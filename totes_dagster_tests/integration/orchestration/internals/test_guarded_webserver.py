"""Operators may do everything in Dagster's UI, and all others only look; asked as a load balancer does."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance
from dagster._core.test_utils import instance_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from starlette.testclient import TestClient

from totes_dagster.orchestration.internals.guarded_webserver import ACCESS_TOKEN, GuardedWebserver, Operators, main
from totes_dagster_tests.ports import free_port

ISSUER = "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_Example"
OPERATORS = Operators("operators", ISSUER, "balancer")

LIMIT = 'mutation { setConcurrencyLimit(concurrencyKey: "source", limit: 1) }'


def token(**claims: Any) -> str:
    given = {"token_use": "access", "iss": ISSUER, "client_id": "balancer", "cognito:groups": ["operators"], **claims}
    parts = [{"alg": "RS256"}, given]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with instance_for_test() as found:
        yield found


Asking = Callable[..., TestClient]


@pytest.fixture
def asking(instance: DagsterInstance) -> Iterator[Asking]:
    """A client at an address, which sends tokens."""
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        app = GuardedWebserver(context, OPERATORS).create_asgi_app()

        def client(*tokens: str, address: str = "10.42.8.5") -> TestClient:
            found = TestClient(app, client=(address, 50000))
            found.headers = [(ACCESS_TOKEN, each) for each in tokens]
            return found

        yield client


def may_change(client: TestClient) -> bool:
    """Whether a mutation is done, and the UI is told so; both must be the same."""
    answer = client.post("/graphql", json={"query": LIMIT}).json()
    query = "{ permissions { permission value } }"
    permissions = client.post("/graphql", json={"query": query}).json()["data"]["permissions"]
    shown = {each["permission"]: each["value"] for each in permissions}
    done = "errors" not in answer
    assert shown["launch_pipeline_execution"] is done
    return done


def test_an_operator_may_change_things(asking: Asking, instance: DagsterInstance) -> None:
    assert may_change(asking(token()))
    assert may_change(asking(token(**{"cognito:groups": ["analysts", "operators"]})))
    assert "source" in instance.event_log_storage.get_concurrency_keys()


VIEWERS = {
    "no token": [],
    "no group": [token(**{"cognito:groups": None})],
    "another group": [token(**{"cognito:groups": ["operators-of-others"]})],
    "a group that is no list": [token(**{"cognito:groups": "operators"})],
    "another pool": [token(iss=f"{ISSUER}2")],
    "another client": [token(client_id="somebody")],
    "an ID token": [token(token_use="id")],
    "two tokens": [token(**{"cognito:groups": []}), token()],
    "two tokens in one header": [f"{token()}, {token()}"],
    "no JSON": ["a.b.c"],
    "no object": [f"a.{base64.urlsafe_b64encode(b'[]').decode()}.c"],
    "no token at all": ["operators"],
}


@pytest.mark.parametrize("tokens", VIEWERS.values(), ids=VIEWERS.keys())
def test_everybody_else_only_looks(tokens: list[str], asking: Asking, instance: DagsterInstance) -> None:
    client = asking(*tokens)
    assert not may_change(client)
    assert instance.event_log_storage.get_concurrency_keys() == set()
    assert client.get("/server_info").status_code == 200
    assert client.post("/graphql", json={"query": "{ version }"}).json()["data"]["version"] is not None


def test_who_only_looks_reports_nothing_either(asking: Asking) -> None:
    path = "/report_asset_materialization/warehouse/fact_sales_order"
    assert asking(token(iss="another")).post(path, json={}).status_code == 401
    assert asking(token()).post(path, json={}).status_code == 200


def test_who_only_looks_changes_nothing_by_get_or_by_websocket(asking: Asking, instance: DagsterInstance) -> None:
    viewer = asking()
    viewer.get("/graphql", params={"query": LIMIT}, headers={"Accept": "application/json"})
    with viewer.websocket_connect("/graphql", subprotocols=["graphql-ws"]) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json() == {"type": "connection_ack"}
        socket.send_json({"type": "start", "id": "1", "payload": {"query": LIMIT}})
        assert socket.receive_json()["type"] in {"error", "data"}
    assert instance.event_log_storage.get_concurrency_keys() == set()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_who_comes_by_port_forwarding_is_an_operator(address: str, asking: Asking) -> None:
    assert may_change(asking(address=address))


def test_without_a_group_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROUP", "ISSUER", "CLIENT"):
        monkeypatch.delenv(f"DAGSTER_OPERATORS_{name}", raising=False)
    done = CliRunner().invoke(main, ["--workspace", "workspace.yaml"])
    assert done.exit_code == 1
    assert "DAGSTER_OPERATORS_GROUP is not set" in done.output


def test_the_program_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    environment = {f"DAGSTER_OPERATORS_{name}": name for name in ("GROUP", "ISSUER", "CLIENT")}
    port = free_port()
    program = f"from {main.callback.__module__} import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--workspace", str(workspace), "--port", str(port)],
        env={**os.environ, **environment, "DAGSTER_HOME": str(tmp_path)},
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/server_info").close()
                break
            except URLError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
