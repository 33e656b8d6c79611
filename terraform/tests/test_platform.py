"""The platform itself, on what Terraform has made: provisioned, refreshed, and heard of when it fails.

Its containers run on this machine, as their task definitions say; see `containers.py` for what is different. Databases
are a real PostgreSQL, which the secrets are told of, for the emulator's RDS has none behind it. A run is launched by
EcsRunLauncher as deployed; the emulator records the task, and the test does what Fargate would. So this does not prove
that Fargate pulls the image and starts it, that AWS enforces the roles and the network as they are written, that
databases are connected to by TLS, or that CloudWatch makes metrics of what is printed.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from psycopg import sql

from terraform.tests.conftest import Deployed
from terraform.tests.containers import Image
from terraform.tests.emulator import ACCOUNT, Emulator
from terraform.tests.metadata import told
from totes_dagster.local.seeding import seed
from totes_dagster_tests.conftest import FAST_SETTINGS
from totes_dagster_tests.errors.tcp_postgres import TcpPostgres

PATIENCE = 180  # seconds

LOADER, STORAGE = "totes-dev-warehouse-loader", "totes-dev-dagster-storage"


@pytest.fixture(scope="module")
def servers(deployed: Deployed, ask: Any) -> Iterator[TcpPostgres]:
    """A server for all three databases, of which only the source is there yet; the secrets say where it is.

    Its administrator is no superuser, as RDS's is none, and has the password that RDS made.
    """
    secrets = ask("secretsmanager")
    with (
        tempfile.TemporaryDirectory(prefix="totes-tests-") as folder,
        TcpPostgres(Path(folder), FAST_SETTINGS) as server,
    ):
        for name in (LOADER, STORAGE):
            login = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
            login |= {"host": "127.0.0.1", "port": server.port}
            secrets.put_secret_value(SecretId=name, SecretString=json.dumps(login))
        server.create_database("totesys")
        # One server stands for both of RDS's, so one administrator for theirs.
        first, *others = administrators(ask)
        administrator = json.loads(secrets.get_secret_value(SecretId=first)["SecretString"])
        for other in others:
            secrets.put_secret_value(SecretId=other, SecretString=json.dumps(administrator))
        with psycopg.connect(server.url(), autocommit=True) as connection:
            statement = sql.SQL("create role {} login createrole createdb password {}")
            user, password = administrator["username"], administrator["password"]
            connection.execute(statement.format(sql.Identifier(user), sql.Literal(password)))
            connection.execute("create role totesys_reader login password 'readsTheSource1'")
            (server.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
            connection.execute("select pg_reload_conf()")
        seed(server.url("totesys"), orders=20)
        with psycopg.connect(server.url("totesys")) as connection:
            connection.execute("grant select on all tables in schema public to totesys_reader")
        source = {"host": "127.0.0.1", "port": server.port, "database": "totesys"}
        source |= {"username": "totesys_reader", "password": "readsTheSource1"}
        secrets.put_secret_value(SecretId=deployed.source_secret, SecretString=json.dumps(source))
        yield server


def administrators(ask: Any) -> list[str]:
    """The secrets that RDS made for its administrators."""
    found = ask("rds").describe_db_instances()["DBInstances"]
    return [server["MasterUserSecret"]["SecretArn"] for server in found]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, aws: Emulator) -> Image:
    return Image(tmp_path_factory.mktemp("image"), aws.environment)


@pytest.fixture(scope="module")
def container(servers: TcpPostgres, deployed: Deployed, ask: Any) -> Callable[[str], dict[str, Any]]:
    """The container of a task definition, as ECS has it; Dagster's storage is where the secret says."""

    def found(task: str) -> dict[str, Any]:
        definition = ask("ecs").describe_task_definition(taskDefinition=f"totes-dev-{task}")["taskDefinition"]
        (container,) = definition["containerDefinitions"]
        where = {"DAGSTER_POSTGRES_HOST": "127.0.0.1", "DAGSTER_POSTGRES_PORT": str(servers.port)}
        for entry in container["environment"]:
            entry["value"] = where.get(entry["name"], entry["value"])
        said: dict[str, Any] = container
        return said

    return found


@pytest.fixture(scope="module")
def provisioned(image: Image, container: Callable[[str], dict[str, Any]], ask: Any) -> str:
    """What the provisioning task said, which is run twice, as by two deployments."""
    definition = container("provision")
    environment = image.environment(definition, ask("secretsmanager"))
    for _ in range(2):
        code = image.run("provision", definition["command"], environment)
        assert code == 0, (image.logs / "provision").read_text()
    return (image.logs / "provision").read_text()


def test_provisioning_makes_databases_and_roles_and_can_be_repeated(
    provisioned: str, servers: TcpPostgres, ask: Any
) -> None:
    assert provisioned.count("Created the database warehouse.") == 1
    assert provisioned.count("Created the database dagster.") == 1
    assert provisioned.count("Dagster's storage is up to date.") == 2
    with psycopg.connect(servers.url()) as connection:
        ordinary = connection.execute(
            "select rolname from pg_roles where not (rolsuper or rolcreaterole or rolcreatedb) and rolcanlogin"
        ).fetchall()
    assert {("warehouse_loader",), ("dagster",)} <= set(ordinary)
    for name in (LOADER, STORAGE):
        login = json.loads(ask("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
        assert login["password"] not in provisioned
        with psycopg.connect(
            host="127.0.0.1",
            port=servers.port,
            user=login["username"],
            password=login["password"],
            dbname=login["database"],
        ) as connection:
            assert connection.execute("select current_user").fetchone() == (login["username"],)


@pytest.fixture(scope="module")
def mail(provisioned: str, deployed: Deployed, ask: Any) -> Callable[[], list[str]]:
    """Subjects of what the topic brought since the last time."""
    queue = ask("sqs").create_queue(QueueName="oncall")["QueueUrl"]
    arn = ask("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    ask("sns").subscribe(TopicArn=deployed.outputs["alert_topic_arn"], Protocol="sqs", Endpoint=arn)

    def arrived() -> list[str]:
        messages = ask("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            ask("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["Subject"] for message in messages]

    return arrived


@pytest.fixture(scope="module")
def instance(
    provisioned: str, image: Image, container: Callable[[str], dict[str, Any]], ask: Any
) -> Iterator[DagsterInstance]:
    """Dagster's instance, as the daemon has it."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in image.environment(container("daemon"), ask("secretsmanager")).items():
            patched.setenv(name, value)
        with DagsterInstance.from_config(str(image.home)) as found:
            yield found


@pytest.fixture(scope="module")
def at_work(
    instance: DagsterInstance,
    image: Image,
    container: Callable[[str], dict[str, Any]],
    deployed: Deployed,
    ask: Any,
) -> Iterator[None]:
    """The code server and the daemon; the daemon's task is there, so that its launcher finds its own network."""
    network = {
        "subnets": deployed.outputs["private_subnet_ids"],
        "securityGroups": [deployed.outputs["task_security_group_id"]],
        "assignPublicIp": "DISABLED",
    }
    (task,) = ask("ecs").run_task(
        cluster=deployed.outputs["cluster"],
        taskDefinition="totes-dev-daemon",
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )["tasks"]
    with ExitStack() as stack:
        metadata = stack.enter_context(told(deployed.outputs["cluster"], task["taskArn"]))
        for name in ("code-server", "daemon"):
            definition = container(name)
            environment = image.environment(definition, ask("secretsmanager"))
            environment["ECS_CONTAINER_METADATA_URI_V4"] = metadata
            stack.enter_context(image.running(name, definition["command"], environment))
        yield


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.5)
    return found


def launched(deployed: Deployed, ask: Any, seen: set[str]) -> dict[str, Any] | None:
    """A task that was launched for a run, and was not seen before."""
    ecs, cluster = ask("ecs"), deployed.outputs["cluster"]
    arns = [arn for arn in ecs.list_tasks(cluster=cluster, family="totes-dev-run")["taskArns"] if arn not in seen]
    if not arns:
        return None
    seen.add(arns[0])
    task: dict[str, Any] = ecs.describe_tasks(cluster=cluster, tasks=arns[:1], include=["TAGS"])["tasks"][0]
    return task


def test_a_change_is_refreshed_by_a_launched_task_and_a_failure_is_told(
    at_work: None,
    instance: DagsterInstance,
    image: Image,
    container: Callable[[str], dict[str, Any]],
    servers: TcpPostgres,
    deployed: Deployed,
    mail: Callable[[], list[str]],
    ask: Any,
) -> None:
    seen: set[str] = set()

    def carry_out() -> str:
        """Do what Fargate would do with the next task that is launched; returns the run."""
        task = until(lambda: launched(deployed, ask, seen), "a run to be launched")
        assert task["taskDefinitionArn"] == deployed.outputs["run_task_definition"]
        assert task["launchType"] == "FARGATE"
        (override,) = task["overrides"]["containerOverrides"]
        assert override["name"] == "run"
        definition = container("run")
        assert image.run("run", override["command"], image.environment(definition, ask("secretsmanager"))) == 0
        run_id: str = {tag["key"]: tag["value"] for tag in task["tags"]}["dagster/run_id"]
        return run_id

    run_id = carry_out()
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.SUCCESS, (image.logs / "run").read_text()[-3_000:]

    # The lake is on the buckets that were made, encrypted as they say.
    for zone in ("ingestion", "processed"):
        (first, *_) = ask("s3").list_objects_v2(Bucket=deployed.outputs["lake"][zone])["Contents"]
        head = ask("s3").head_object(Bucket=deployed.outputs["lake"][zone], Key=first["Key"])
        assert head["ServerSideEncryption"] == "aws:kms"
    # What the run printed is in its bucket, and its metrics are in what ECS would send to CloudWatch.
    logs = ask("s3").list_objects_v2(
        Bucket=deployed.outputs["compute_logs_bucket"], Prefix=f"compute-logs/storage/{run_id}"
    )
    assert logs["KeyCount"] > 0
    lines = [line for line in (image.logs / "run").read_text().splitlines() if line.startswith('{"_aws"')]
    spaces = {json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in lines}
    assert spaces == {"totes-dev"}
    # The warehouse is the loader's, and shows the source.
    with psycopg.connect(servers.url("warehouse")) as connection:
        assert connection.execute("select count(*) from current_sales_order").fetchone() == (20,)
        owner = connection.execute("select tableowner from pg_tables where tablename = 'fact_sales_order'").fetchone()
        assert owner == ("warehouse_loader",)

    # The source is broken, as whoever owns it might break it.
    with psycopg.connect(servers.url("totesys")) as connection:
        connection.execute("alter table design rename column design_name to name")
        connection.execute("update staff set last_updated = now()")
    failed = instance.get_run_by_id(carry_out())
    assert failed is not None
    assert failed.status is DagsterRunStatus.FAILURE
    (subject,) = until(mail, "the alert")
    assert subject.startswith("refresh failed: ")
    assert ACCOUNT not in subject
