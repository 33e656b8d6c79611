"""The platform itself, on what Terraform has made: provisioned, refreshed, and heard of when it fails.

Its containers run on this machine, as their task definitions say; see `containers.py` for what is different. Databases
are a real PostgreSQL, which the secrets are told of, for the emulator's RDS has none behind it. A run is launched by
EcsRunLauncher as deployed; the emulator records the task, and the test does what Fargate would. So this does not prove
that Fargate pulls the image and starts it, that AWS enforces the roles and the network as they are written, that
databases are connected to by TLS, or that CloudWatch makes metrics of what is printed.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from psycopg import sql

from terraform.tests.conftest import Deployed
from terraform.tests.containers import Image
from terraform.tests.emulator import Emulator
from terraform.tests.rates_bank import RATES
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder
from totes_dagster_tests.tcp_postgres import TcpPostgres

PATIENCE = 180  # seconds

SERVICES = ("code-server", "webserver", "daemon")

LOADER, STORAGE = "totes-dev-warehouse-loader", "totes-dev-dagster-storage"


@pytest.fixture(scope="module")
def servers(deployed: Deployed, ask: Any) -> Iterator[TcpPostgres]:
    """A server for all three databases, of which only the source is there yet; the secrets say where it is.

    Its administrator is no superuser, as RDS's is none, and has the password that RDS made.
    """
    secrets = ask("secretsmanager")
    with server_folder() as folder, TcpPostgres(folder, FAST_SETTINGS) as server:
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
        assert code == 0, image.said("provision")
    return image.said("provision")


def test_provisioning_makes_databases_and_roles_and_can_be_repeated(
    provisioned: str, servers: TcpPostgres, ask: Any
) -> None:
    assert provisioned.count("Created the database warehouse.") == 1
    assert provisioned.count("Created the database dagster.") == 1
    assert provisioned.count("Made the certificate and the key of the workers.") == 1
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
def mail(provisioned: str, deployed: Deployed, ask: Any) -> Iterator[Callable[[], list[str]]]:
    """Subjects of what the topic brought since the last time."""
    queue = ask("sqs").create_queue(QueueName="oncall")["QueueUrl"]
    arn = ask("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = deployed.outputs["alert_topic_arn"]
    subscription = ask("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]

    def arrived() -> list[str]:
        messages = ask("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            ask("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["Subject"] for message in messages]

    yield arrived
    ask("sns").unsubscribe(SubscriptionArn=subscription)


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
    ask: Any,
) -> Iterator[None]:
    """The services."""
    with ExitStack() as stack:
        for name in SERVICES:
            definition = container(name)
            stack.enter_context(image.running(definition, image.environment(definition, ask("secretsmanager"))))
        yield


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.5)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_healthy_by_the_check_of_its_task_definition(
    service: str,
    at_work: None,
    instance: DagsterInstance,
    image: Image,
    container: Callable[[str], dict[str, Any]],
    ask: Any,
) -> None:
    definition = container(service)
    environment = image.environment(definition, ask("secretsmanager"))
    until(lambda: image.listens(service), f"{service} to listen")
    if service == "daemon":
        until(lambda: all(status.healthy for status in instance.get_daemon_statuses().values()), "its heartbeats")
    until(lambda: image.is_healthy(definition, environment), f"{service} to be healthy")


@pytest.fixture(scope="module")
def carry_out(
    at_work: None,
    instance: DagsterInstance,
    image: Image,
    container: Callable[[str], dict[str, Any]],
    deployed: Deployed,
    ask: Any,
) -> Callable[[], str]:
    """Do what Fargate would do with the next task that is launched for a refresh; returns the run."""
    ecs, cluster, seen = ask("ecs"), deployed.outputs["cluster"], set[str]()

    def groups_of(task: dict[str, Any]) -> set[str]:
        details = {each["name"]: each["value"] for each in task["attachments"][0]["details"]}
        assert details["subnetId"] in deployed.outputs["private_subnet_ids"]
        found = ask("ec2").describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])
        return {group["GroupId"] for group in found["NetworkInterfaces"][0]["Groups"]}

    def run_of(task: dict[str, Any]) -> str:
        run_id: str = {tag["key"]: tag["value"] for tag in task["tags"]}["dagster/run_id"]
        return run_id

    def launched() -> dict[str, Any] | None:
        arns = sorted(set(ecs.list_tasks(cluster=cluster, family="totes-dev-run")["taskArns"]) - seen)
        for arn in arns:
            seen.add(arn)
            (task,) = ecs.describe_tasks(cluster=cluster, tasks=[arn], include=["TAGS"])["tasks"]
            run = instance.get_run_by_id(run_of(task))
            if run and run.job_name == "refresh":  # and no prune, which is due every hour
                found: dict[str, Any] = task
                return found
        return None

    def run() -> str:
        task = until(launched, "a refresh to be launched")
        assert task["taskDefinitionArn"] == deployed.outputs["run_task_definition"]
        assert task["launchType"] == "FARGATE"
        assert groups_of(task) == {deployed.outputs["task_security_group_ids"]["run"]}
        (override,) = task["overrides"]["containerOverrides"]
        assert override["name"] == "run"
        environment = image.environment(container("run"), ask("secretsmanager"))
        assert image.run("run", override["command"], environment) == 0, image.said("run")
        return run_of(task)

    return run


@pytest.fixture(scope="module")
def refreshed(carry_out: Callable[[], str]) -> str:
    """The first run, which the sensor requested because there was something to refresh."""
    return carry_out()


@pytest.fixture(scope="module")
def failed(refreshed: str, carry_out: Callable[[], str], servers: TcpPostgres, mail: Callable[[], list[str]]) -> str:
    """A run that failed, for somebody has changed the source."""
    with psycopg.connect(servers.url("totesys")) as connection:
        connection.execute("alter table design rename column design_name to name")
    return carry_out()


def test_a_run_is_launched_as_a_task_and_succeeds(refreshed: str, instance: DagsterInstance, image: Image) -> None:
    run = instance.get_run_by_id(refreshed)
    assert run is not None
    assert run.status is DagsterRunStatus.SUCCESS, image.said("run")
    assert run.tags["ecs/cluster"].endswith(":cluster/totes-dev")


def test_the_lake_is_on_the_buckets_that_were_made(refreshed: str, deployed: Deployed, ask: Any) -> None:
    for zone in ("ingestion", "processed"):
        bucket = deployed.outputs["lake"][zone]
        (first, *_) = ask("s3").list_objects_v2(Bucket=bucket)["Contents"]
        assert ask("s3").head_object(Bucket=bucket, Key=first["Key"])["ServerSideEncryption"] == "aws:kms"


def test_the_warehouse_is_the_loaders_and_shows_the_source(refreshed: str, servers: TcpPostgres) -> None:
    with psycopg.connect(servers.url("warehouse")) as connection:
        assert connection.execute("select count(*) from current_sales_order").fetchone() == (20,)
        owner = connection.execute("select tableowner from pg_tables where tablename = 'fact_sales_order'").fetchone()
        assert owner == ("warehouse_loader",)


def test_what_a_run_printed_is_in_its_bucket(refreshed: str, deployed: Deployed, ask: Any) -> None:
    bucket, prefix = deployed.outputs["compute_logs_bucket"], f"compute-logs/storage/{refreshed}"
    assert ask("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"] > 0


def test_metrics_are_in_what_ecs_sends_to_the_log_group(refreshed: str, image: Image) -> None:
    lines = [json.loads(line) for line in image.said("run").splitlines() if line.startswith('{"_aws"')]
    (namespace,) = {line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in lines}
    assert namespace == "totes-dev"
    assert sum(line.get("Refreshes", 0) for line in lines) == 1


def test_a_failure_is_told_by_the_topic_that_was_made(
    failed: str, instance: DagsterInstance, mail: Callable[[], list[str]]
) -> None:
    run = instance.get_run_by_id(failed)
    assert run is not None
    assert run.status is DagsterRunStatus.FAILURE
    (subject,) = until(mail, "the alert")
    assert subject.startswith("totes: refresh failed: SourceSchemaError: ")


@pytest.fixture(scope="module")
def taken(failed: str, image: Image, container: Callable[[str], dict[str, Any]], deployed: Deployed, ask: Any) -> str:
    """What a run's container said when it took a file from the landing bucket."""
    key = "exchange_rate/2026-11-27T151500Z.csv"
    ask("s3").put_object(Bucket=deployed.outputs["landing_bucket"], Key=key, Body=RATES)
    environment = image.environment(container("run"), ask("secretsmanager"))
    assert image.run("take", ["totes", "feeds", "take"], environment) == 0, image.said("take")
    return image.said("take")


def test_rates_are_taken_from_the_landing_bucket(taken: str, servers: TcpPostgres) -> None:
    with psycopg.connect(servers.url("warehouse")) as connection:
        rates = connection.execute("select quote_code, rate::text from current_exchange_rate order by 1").fetchall()
    assert [(code, float(rate)) for code, rate in rates] == [("GBP", 0.87615), ("USD", 1.1602)], taken


@pytest.mark.parametrize("task", ["daemon", "code-server", "run", "provision"])
def test_a_container_asks_for_nothing_that_its_role_may_not(task: str, taken: str, aws: Emulator, ask: Any) -> None:
    role = f"totes-dev-{task}"
    granted = {
        action
        for name in ask("iam").list_role_policies(RoleName=role)["PolicyNames"]
        for statement in ask("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    }
    asked = aws.actions(of=task)
    assert asked
    assert asked - {"s3:GetBucketLocation"} <= granted
