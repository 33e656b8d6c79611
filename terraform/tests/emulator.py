"""The AWS that Terraform is tried on: moto's server, mended where it stands in the way.

As a program, it serves at a port of this machine, and writes every action that it is asked for to a file, as IAM calls
it.
"""

import json
import os
import secrets
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ACCOUNT = "123456789012"
REGION = "eu-west-2"

_START_WITHIN = 60  # seconds

_SERVICES = {"monitoring": "cloudwatch"}
"""Services that sign their requests by another name than IAM has for them."""

_ACTIONS = {
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "CreateBudget": "ModifyBudget",
    "CreateNotification": "ModifyBudget",
    "DeleteBudget": "ModifyBudget",
    "DescribeBudget": "ViewBudget",
    "DescribeNotificationsForBudget": "ViewBudget",
    "DescribeSubscribersForNotification": "ViewBudget",
}
"""Requests for which IAM has no action of their own."""


class Emulator:
    """A running server.

    Attributes:
        endpoint: its address.
        environment: what points the AWS SDKs, and Terraform, at it.
    """

    def __init__(self, port: int, requests: Path) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._requests = requests

    def actions(self, start: int = 0, *, of: str = "testing") -> set[str]:
        """What somebody, by the access key, asked for, as IAM calls it; since what `mark` said, or all."""
        asked = (line.split() for line in self._requests.read_text().splitlines()[start:])
        return {action for who, action in asked if who == of}

    def mark(self) -> int:
        """How many actions it was asked for so far."""
        return len(self._requests.read_text().splitlines())


@contextmanager
def running(port: int, folder: Path) -> Iterator[Emulator]:
    """A server of its own, which ends with the block."""
    requests = folder / "requests.txt"
    requests.touch()
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "terraform.tests.emulator", str(port), str(requests)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        )
        try:
            emulator = Emulator(port, requests)
            _await(emulator, process)
            yield emulator
        finally:
            process.terminate()
            process.wait()


def _await(emulator: Emulator, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_WITHIN
    while True:
        try:
            urlopen(f"{emulator.endpoint}/moto-api/data.json").close()
        except OSError:
            assert process.poll() is None, "the emulator ended"
            assert time.monotonic() < deadline, "the emulator does not answer"
            time.sleep(0.1)
        else:
            return


def _serve(port: int, requests: Path) -> None:
    from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
    from moto.athena.responses import AthenaResponse
    from moto.core.authorization import ActionAuthenticatorMixin
    from moto.core.responses import ActionResult
    from moto.ecs.models import EC2ContainerServiceBackend
    from moto.ecs.responses import EC2ContainerServiceResponse
    from moto.iam.access_control import PermissionResult
    from moto.rds.models import DBInstance
    from moto.s3.models import FakeBucket
    from moto.server import main

    # All of its database servers have one and the same id, by which Terraform's provider asks for them.
    made = DBInstance.__init__

    def make(self: DBInstance, *positional: object, **named: object) -> None:
        made(self, *positional, **named)
        self.dbi_resource_id = "db-" + "".join(
            secrets.choice(string.ascii_uppercase + string.digits) for _ in range(26)
        )

    DBInstance.__init__ = make

    # It makes named queries, and cannot delete them.
    def delete_named_query(self: AthenaResponse) -> str:
        self.athena_backend.named_queries.pop(self._get_param("NamedQueryId"))
        return "{}"

    AthenaResponse.delete_named_query = delete_named_query

    # It takes the tags of scalable targets, and cannot be asked for them.
    register, tags = ApplicationAutoScalingResponse.register_scalable_target, {}

    def register_scalable_target(self: ApplicationAutoScalingResponse) -> str:
        answer = register(self)
        tags.setdefault(json.loads(answer)["ScalableTargetARN"], {}).update(self._get_param("Tags") or {})
        return answer

    def list_tags_for_resource(self: ApplicationAutoScalingResponse) -> str:
        return json.dumps({"Tags": tags.get(self._get_param("ResourceARN"), {})})

    ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target
    ApplicationAutoScalingResponse.list_tags_for_resource = list_tags_for_resource

    # It wants to know the memory of each container, which Fargate does not.
    EC2ContainerServiceBackend._calculate_task_resource_requirements = staticmethod(
        lambda _definition: {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}
    )

    # It forgets which capacity a service's tasks are started on.
    create = EC2ContainerServiceResponse.create_service

    def create_service(self: EC2ContainerServiceResponse) -> ActionResult:
        answer = create(self)
        answer.result["service"].capacity_provider_strategy = self._get_param("capacityProviderStrategy") or []
        return answer

    EC2ContainerServiceResponse.create_service = create_service

    # It overlooks the conditions of a bucket's policy, and so would deny everybody what is denied to some.
    FakeBucket.get_permission = lambda _self, _action, _resource: PermissionResult.NEUTRAL

    _mend_budgets()
    _mend_backups()

    asked = requests.open("a", buffering=1)

    def note(self: ActionAuthenticatorMixin, _request: type, _resource: str = "*") -> None:
        """Instead of asking who may do it, which moto decides without resources and conditions: note what is done."""
        scope = self.headers.get("Authorization", "").partition("Credential=")[2].split("/")
        if len(scope) > 3:
            action = self._get_action()
            name = action[0] if isinstance(action, list) else action
            asked.write(f"{scope[0]} {_SERVICES.get(scope[3], scope[3])}:{_ACTIONS.get(name, name)}\n")

    ActionAuthenticatorMixin._authenticate_and_authorize_action = note
    main(["--host", "127.0.0.1", "--port", str(port)])


def _mend_budgets() -> None:
    """It keeps a budget's tags and who hears of it, and cannot be asked for either."""
    from moto.budgets.responses import BudgetsResponse

    create, tags = BudgetsResponse.create_budget, {}

    def create_budget(self: BudgetsResponse) -> str:
        name = self._get_param("Budget")["BudgetName"]
        tags[f"arn:aws:budgets::{self.current_account}:budget/{name}"] = self._get_param("ResourceTags") or []
        return create(self)

    def describe_subscribers_for_notification(self: BudgetsResponse) -> str:
        budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
        (found,) = (one for one in budget.notifications if one.details == self._get_param("Notification"))
        return json.dumps({"Subscribers": found.subscribers})

    def list_tags_for_resource(self: BudgetsResponse) -> str:
        return json.dumps({"ResourceTags": tags[self._get_param("ResourceARN")]})

    BudgetsResponse.create_budget = create_budget
    BudgetsResponse.describe_subscribers_for_notification = describe_subscribers_for_notification
    BudgetsResponse.list_tags_for_resource = list_tags_for_resource


def _mend_backups() -> None:
    """It has plans for backups, and no selections of what they are for."""
    from moto.backup.responses import BackupResponse

    selections: dict[str, dict[str, object]] = {}

    def create_backup_selection(self: BackupResponse) -> str:
        plan = self.path.split("/plans/")[1].split("/")[0]
        selected = json.loads(self.body)["BackupSelection"]
        found = {"SelectionId": secrets.token_hex(8), "BackupPlanId": plan, "CreationDate": time.time()}
        selections[found["SelectionId"]] = {**found, "BackupSelection": selected}
        return json.dumps(found)

    def get_backup_selection(self: BackupResponse) -> str:
        return json.dumps(selections[self.path.rstrip("/").rpartition("/")[2]])

    def delete_backup_selection(self: BackupResponse) -> str:
        selections.pop(self.path.rstrip("/").rpartition("/")[2])
        return "{}"

    BackupResponse.create_backup_selection = create_backup_selection
    BackupResponse.get_backup_selection = get_backup_selection
    BackupResponse.delete_backup_selection = delete_backup_selection


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
