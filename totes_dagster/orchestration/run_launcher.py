"""How runs are launched on ECS: by Dagster's EcsRunLauncher, in the network that the configuration names.

Left to itself, it asks EC2 for the network of the task that it runs in. That takes an endpoint of EC2 in each zone, and
a right that AWS does not let one narrow; and runs would have the security group of the daemon.
"""

from collections.abc import Mapping
from typing import Any

from dagster import Field, StringSource
from dagster_aws.ecs import EcsRunLauncher


class RunTaskLauncher(EcsRunLauncher[Any]):
    """EcsRunLauncher on Fargate, with two more fields of configuration.

    In `run_task_kwargs`, which could name the network, Dagster does not read environment variables, except for the
    cluster.

    Args:
        subnets: ids of the subnets that runs may be in, separated by commas.
        security_group: id of the security group of runs.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The fields of EcsRunLauncher, and those two."""
        return {
            **super().config_type(),  # type: ignore[no-untyped-call]  # Dagster leaves this one untyped
            "subnets": Field(StringSource, description="Ids of the subnets of runs, separated by commas."),
            "security_group": Field(StringSource, description="Id of the security group of runs."),
        }

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "RunTaskLauncher":
        """The launcher that a configuration describes."""
        config = dict(config_value)
        network = {
            "subnets": config.pop("subnets").split(","),
            "securityGroups": [config.pop("security_group")],
            "assignPublicIp": "DISABLED",
        }
        config["use_current_ecs_task_config"] = False
        config["run_task_kwargs"] = {
            **config.get("run_task_kwargs", {}),
            "launchType": "FARGATE",
            "propagateTags": "TASK_DEFINITION",  # by which the costs of runs are told from others
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
        return super().from_config_value(inst_data, config)
