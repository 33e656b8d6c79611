"""What the processes of a cluster prove to one another: one certificate, its own authority, and its key.

Whoever has the key may run code on every machine of the cluster, for Dask passes functions on. So no process listens
without it, and all that they say is encrypted.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from totes_dagster.aws.secrets import values_from_secret
from totes_dagster.errors import ClusterCredentialsError, one_line

if TYPE_CHECKING:
    from distributed.security import Security

FILES = {"certificate": "certificate.pem", "key": "key.pem"}
"""The files of a folder with credentials, by what they are called in a secret."""


@dataclass(frozen=True)
class Credentials:
    """A certificate and its key, as PEM text. The certificate has signed itself."""

    certificate: str
    key: str = field(repr=False)

    def security(self) -> "Security":
        """What Dask's processes are given: all of them show this certificate, and accept no other."""
        from distributed.security import Security  # noqa: PLC0415 - slow to import

        both = {"cert": self.certificate, "key": self.key}
        shown = {
            f"tls_{role}_{name}": text for role in ("client", "scheduler", "worker") for name, text in both.items()
        }
        return Security(  # type: ignore[no-untyped-call]
            tls_ca_file=self.certificate, require_encryption=True, **shown
        )

    def environment(self) -> dict[str, str]:
        """The same as settings of Dask's programs, which keeps the key out of their command lines."""
        prefix = "DASK_DISTRIBUTED__COMM__"
        shown = {
            f"{prefix}TLS__{role}__{name}": text
            for role in ("CLIENT", "SCHEDULER", "WORKER")
            for name, text in (("CERT", self.certificate), ("KEY", self.key))
        }
        return {f"{prefix}REQUIRE_ENCRYPTION": "True", f"{prefix}TLS__CA_FILE": self.certificate, **shown}

    def as_secret(self) -> dict[str, str]:
        """The content of a secret with them."""
        return {"certificate": self.certificate, "key": self.key}


def new_credentials() -> Credentials:
    """A new certificate and key."""
    from distributed.security import Security  # noqa: PLC0415 - slow to import

    made = Security.temporary()  # type: ignore[no-untyped-call]
    return Credentials(str(made.tls_ca_file), str(made.tls_client_key))


def credentials_in(folder: Path) -> Credentials:
    """The credentials in a folder.

    Raises:
        ClusterCredentialsError: there are none, or they cannot be read.
    """
    try:
        return Credentials(**{name: (folder / file).read_text() for name, file in FILES.items()})
    except (OSError, ValueError) as error:
        raise ClusterCredentialsError(
            f"The credentials of the cluster cannot be read: {one_line(error)} {folder} should have the files "
            f"{' and '.join(FILES.values())}, which `totes cluster` writes."
        ) from error


def credentials_of_secret(secret_id: str) -> Credentials:
    """The credentials that a secret in AWS Secrets Manager has.

    Raises:
        SecretError, CredentialsMissingError: the secret cannot be read, or lacks a key.
    """
    return Credentials(**values_from_secret(secret_id, FILES))


def write_credentials(credentials: Credentials, folder: Path) -> None:
    """Write credentials into a folder, which only this user can read."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, file in FILES.items():
        descriptor = os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as written:
            written.write(getattr(credentials, name))
