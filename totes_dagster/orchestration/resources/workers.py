"""The workers of a cluster as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource
from pydantic import Field

from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config.platform import cluster_at


class WorkersResource(ConfigurableResource):  # type: ignore[type-arg]
    """Workers that take a share of large batches, if there are any."""

    address: str = Field(default="", description="tls://host:port of a scheduler; empty to do all work in the run.")
    credentials: str = Field(default="", description="Folder with the certificate and key of the cluster's processes.")
    secret_id: str = Field(default="", description="Id of a secret in AWS Secrets Manager with them, instead.")
    service: str = Field(default="", description="ECS service that has the workers, like `cluster/service:8`.")

    def cluster(self) -> Cluster | None:
        """The cluster; None if there is none.

        Raises:
            SettingsError: see `cluster_at`.
        """
        return cluster_at(self.address, self.credentials, self.secret_id, self.service)


def spread_of(cluster: Cluster | None) -> dict[str, Any]:
    """Metadata of what workers did: nothing if there are none, or the work was too little to spread."""
    return {"workers": "; ".join(map(str, cluster.spread))} if cluster and cluster.spread else {}
