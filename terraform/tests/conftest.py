"""The dev environment, applied as a newcomer would, on an emulator: the account first, then the environment."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from terraform.tests import commands, emulator
from terraform.tests.commands import Root, TerraformError, copied
from terraform.tests.emulator import ACCOUNT, REGION, Emulator
from totes_dagster_tests.ports import free_port

STATE_BUCKET = "example-terraform-state"
BACKEND = [f"bucket={STATE_BUCKET}", f"region={REGION}", "use_path_style=true"]
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/totes_dagster@sha256:{'0' * 64}"


@dataclass(frozen=True)
class Deployed:
    """An environment that was applied.

    Attributes:
        root: where Terraform was run.
        outputs: what it said in the end.
        bootstrap: what `bootstrap` said.
        source_secret: ARN of the secret of the source, which others fill.
        applying: what of AWS was asked for while it was applied.
    """

    root: Root
    outputs: dict[str, Any]
    bootstrap: dict[str, Any]
    source_secret: str
    applying: set[str]


_APPLIED = {"deployed", "applied"}
"""Fixtures for which an environment or a module is applied to the emulator, in minutes."""


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if shutil.which("terraform") is None:
        pytest.skip("Terraform is not on this machine.")
    folder = tmp_path_factory.mktemp("settings")
    found = commands.settings(folder)
    try:
        Root(copied(folder) / "modules" / "key", found).run("init", "-no-color")
    except TerraformError as error:
        if "could not connect to" not in str(error):
            raise
        pytest.skip("The provider of AWS is not on this machine, and its registry cannot be reached.")
    return found


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator.running(free_port(), tmp_path_factory.mktemp("emulator")) as server:
        yield server


@pytest.fixture(scope="session")
def sdk(aws: Emulator) -> boto3.Session:
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


@pytest.fixture(scope="session")
def ask(aws: Emulator, sdk: boto3.Session) -> Any:
    """A client of a service of the emulator's, by name."""
    return lambda service: sdk.client(service, endpoint_url=aws.endpoint)


@pytest.fixture(scope="session")
def secrets_with_values(ask: Any) -> Callable[[], list[dict[str, Any]]]:
    """The values of all secrets that have one; that of workers has none until it is provisioned."""

    def found() -> list[dict[str, Any]]:
        secrets = ask("secretsmanager")
        arns = [secret["ARN"] for secret in secrets.list_secrets()["SecretList"]]
        filled = [arn for arn in arns if secrets.list_secret_version_ids(SecretId=arn)["Versions"]]
        return [json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"]) for arn in filled]

    return found


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs an environment as slow. Modules first: the environment is applied meanwhile, in minutes.

    What deploys to it comes last, for others look at it as it was applied.
    """
    for item in items:
        if _APPLIED.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: ("deployed" in getattr(item, "fixturenames", ()), item.path.stem == "test_roll_out"))


@pytest.fixture(scope="session", autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    """Begin to apply at once, if anything is going to ask for it."""
    if any("deployed" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("applying")


@pytest.fixture(scope="session")
def applying(
    settings: dict[str, str], aws: Emulator, ask: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Future[Deployed]"]:
    """All of it, being applied; destroyed again in the end, which must leave nothing in the state."""
    folder = copied(tmp_path_factory.mktemp("deployed"))
    with ThreadPoolExecutor(1) as background:
        future = background.submit(apply, folder, {**settings, **aws.environment}, aws, ask)
        yield future
        root = future.result().root
        # The emulator forgets an attachment at once that is deleted, and the provider waits to be told that it was.
        root.run("state", "rm", "module.platform.module.network.aws_ec2_transit_gateway_vpc_attachment.this")
        root.destroy()
        assert json.loads(root.state())["resources"] == []


@pytest.fixture(scope="session")
def deployed(applying: "Future[Deployed]") -> Deployed:
    """All of it, applied."""
    return applying.result()


@pytest.fixture(scope="session")
def second_plan(deployed: Deployed) -> dict[str, Any]:
    """What another apply would do."""
    return deployed.root.plan()


def apply(folder: Path, environment: dict[str, str], aws: Emulator, ask: Any) -> Deployed:
    """Apply first what an account needs, and then the dev environment."""
    source = {
        "secret_arn": ask("secretsmanager").create_secret(Name="totesys", SecretString=json.dumps({}))["ARN"],
        "cidr_block": "10.1.0.0/24",
    }
    gateway = ask("ec2").create_transit_gateway()["TransitGateway"]
    ask("sqs").create_queue(QueueName="incidents")
    replication = {
        "bucket_arn": "arn:aws:s3:::example-copy",
        "kms_key_arn": "arn:aws:kms:eu-west-1:210987654321:key/22222222-2222-2222-2222-222222222222",
        "account_id": "210987654321",
    }
    account = Root(folder / "bootstrap", environment)
    account.connect(
        {
            "github_repository": "example/totes",
            "region": REGION,
            "state_bucket_name": STATE_BUCKET,
            "source_databases": {"dev": source},
            "transit_gateways": {"dev": gateway["TransitGatewayArn"]},
            "replications": {"dev": replication},
            "image_reader_accounts": ["210987654321"],
            "state_versions_kept": None,  # which the emulator does not keep in mind
        }
    )
    account.apply()
    bootstrap = account.outputs()

    root = Root(folder / "envs" / "dev", environment)
    root.connect(
        {
            "region": REGION,
            "image": IMAGE,
            "image_repository_arn": bootstrap["image_repository_arn"],
            "permissions_boundary_arn": bootstrap["boundary_arns"]["dev"],
            "source_database": source,
            "alert_emails": ["oncall@example.com"],
            "alert_subscriptions": [{"protocol": "sqs", "endpoint": f"arn:aws:sqs:{REGION}:{ACCOUNT}:incidents"}],
            "analyst_cidr_blocks": ["10.2.0.0/24"],
            "transit_gateway": {"id": gateway["TransitGatewayId"], "cidr_blocks": ["10.2.0.0/24"]},
            "workers": {"count": 4},
            "monthly_budget": 250,
            "replication": replication,
            "landing_senders": {"shipment": [f"arn:aws:iam::{ACCOUNT}:role/carrier"]},
        },
        backend=BACKEND,
    )
    start = aws.mark()
    # As a deployment does it: what was planned without a lock, and kept, is what is applied.
    root.run("plan", "-no-color", "-lock=false", "-out=reviewed.tfplan")
    root.run("apply", "-no-color", "reviewed.tfplan")
    return Deployed(root, root.outputs(), bootstrap, source["secret_arn"], aws.actions(start))
