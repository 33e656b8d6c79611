"""Another image is deployed by the scripts of the workflow, to all that there is of the dev environment."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from terraform.tests.commands import TERRAFORM, Root, TerraformError
from terraform.tests.conftest import IMAGE, Deployed

SCRIPTS = TERRAFORM.parent / ".github" / "scripts"
NEW = IMAGE.replace("0" * 64, "1" * 64)


@pytest.fixture
def root(deployed: Deployed) -> Iterator[Root]:
    """The environment, whose image is given to each command; deployed again in the end with that which it had."""
    file = deployed.root.folder / "emulator.auto.tfvars.json"
    variables = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in variables.items() if name != "image"}))
    yield deployed.root
    file.write_text(json.dumps(variables))
    deployed.root.apply()


def images(ask: Any) -> dict[str, str]:
    """What the newest task definitions name."""
    found = {}
    for task in ("daemon", "run", "provision"):
        definition = ask("ecs").describe_task_definition(taskDefinition=f"totes-dev-{task}")["taskDefinition"]
        found[task] = definition["containerDefinitions"][0]["image"]
    return found


def counts(ask: Any, deployed: Deployed) -> set[int]:
    """How many tasks each service is to have."""
    names = deployed.outputs["service_names"]
    described = ask("ecs").describe_services(cluster=deployed.outputs["cluster"], services=names)
    return {service["desiredCount"] for service in described["services"]}


def test_what_was_shown_is_applied_first_without_the_image_and_then_with_it(
    root: Root, deployed: Deployed, ask: Any
) -> None:
    root.program(SCRIPTS / "plan_deployment.sh", NEW)
    assert (root.folder / "first").read_text() == "false\n"
    root.program(SCRIPTS / "apply_plan.sh", "prepare.tfplan", TF_VAR_image=NEW)
    assert images(ask) == {"daemon": IMAGE, "run": IMAGE, "provision": NEW}

    # As if Dagster's storage had to be migrated.
    stopped = {"TF_VAR_image": IMAGE, "TF_VAR_provisioning_image": NEW, "TF_VAR_paused": "true"}
    with pytest.raises(TerraformError, match="would change what was not reviewed"):
        root.program(SCRIPTS / "apply_as_reviewed.sh", "prepare.tfplan", **stopped)
    assert counts(ask, deployed) == {1}
    root.program("terraform", "apply", "-no-color", "-auto-approve", **stopped)
    assert counts(ask, deployed) == {0}

    root.program(SCRIPTS / "apply_as_reviewed.sh", "roll_out.tfplan", TF_VAR_image=NEW)
    assert images(ask) == dict.fromkeys(("daemon", "run", "provision"), NEW)
    assert counts(ask, deployed) == {1}
