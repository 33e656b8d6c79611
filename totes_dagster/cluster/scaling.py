"""Asking for workers before a large batch, where they run as a service of Amazon ECS that mostly has none.

AWS takes the service back to none once its workers have been idle for a while, so that no run that died leaves costs
behind.
"""

import re
from dataclasses import dataclass

from totes_dagster.aws import sessions as aws
from totes_dagster.errors import ClusterError, SettingsError, one_line

_SERVICE = re.compile(r"(?P<cluster>[\w-]+)/(?P<service>[\w-]+):(?P<count>[1-9]\d{0,3})", re.ASCII)


@dataclass(frozen=True)
class WorkersService:
    """A service of Amazon ECS whose tasks are workers.

    Attributes:
        cluster: the name of the ECS cluster.
        service: the service's.
        count: how many workers a large batch is given.
    """

    cluster: str
    service: str
    count: int

    @classmethod
    def parse(cls, text: str) -> "WorkersService":
        """The service of the setting `TOTES_WORKERS_SERVICE`.

        Raises:
            SettingsError: it is not like `cluster/service:8`.
        """
        found = _SERVICE.fullmatch(text)
        if not found:
            raise SettingsError(
                f"TOTES_WORKERS_SERVICE is {one_line(repr(text))} Give the name of an ECS cluster, of a service, and a "
                "number of workers, like totes/workers:8."
            )
        return cls(found["cluster"], found["service"], int(found["count"]))

    def request(self) -> None:
        """Ask for the workers, which start in a minute or two.

        Raises:
            ClusterError: ECS cannot be reached, or refuses.
        """
        from botocore.config import Config  # noqa: PLC0415 - slow to import
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
        name = f"workers from the service {self.service}"
        try:
            ecs = aws.new_session().client("ecs", config=config)
            ecs.update_service(cluster=self.cluster, service=self.service, desiredCount=self.count)
        except ClientError as error:
            raise ClusterError(f"ECS refused {name}: {aws.refusal(error)[1]}") from None
        except (BotoCoreError, ValueError) as error:
            raise ClusterError(f"ECS cannot be asked for {name}: {aws.failure(error)}") from None
