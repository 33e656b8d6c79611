"""The platform's errors: a small family, each saying what happened, to which thing, and what to do next.

An error is *transient* where the same call may succeed in a moment; those are repeated (see `runtime/retry.py`), all
others fail at once.
"""

import re
from typing import ClassVar


class TotesError(Exception):
    """Base of everything the platform raises on purpose; its message is one that a person can act on."""

    transient: ClassVar[bool] = False

    def __init__(self, message: str, **facts: object) -> None:
        """Facts are what the error is about, by name, for whoever shows it: a table, an object, an SQLSTATE."""
        super().__init__(message)
        self.facts = facts


def one_line(text: object) -> str:
    """Squeeze somebody else's message to one line that a sentence of ours can follow, without credentials of URLs."""
    squeezed = re.sub(r":/{1,2}[^\s\"'<>]*@", "://***@", " ".join(str(text).split()))
    return squeezed if squeezed.endswith(("?", "!", ".")) else f"{squeezed}."


# Settings and secrets.


class SettingsError(TotesError):
    """The platform's settings are missing, contradict one another, or cannot be read."""


class NothingHereError(SettingsError):
    """Nothing is configured, and there is no embedded stack."""

    def __init__(self) -> None:
        super().__init__("Nothing here yet. Run `totes demo` or `totes dev`.")


class SecretError(SettingsError):
    """A secret cannot be read from Secrets Manager."""


class SecretMissingError(SecretError):
    """There is no such secret."""


class SecretAccessDeniedError(SecretError):
    """The platform's credentials may not read a secret."""


class SecretFormatError(SecretError):
    """A secret is not a JSON object."""


class SecretIncompleteError(SecretError):
    """A secret lacks a key."""


class CredentialsMissingError(SettingsError):
    """There are no AWS credentials, or they cannot be read."""


# Databases.


class DatabaseError(TotesError):
    """A database could not be reached, refused the platform, or broke off."""


class HostUnknownError(DatabaseError):
    """The name of the database's host is not known."""


class PortClosedError(DatabaseError):
    """Nobody listens at the database's host and port."""


class ConnectTimeoutError(DatabaseError):
    """The database's host cannot be reached, or does not answer in time."""


class EncryptionError(DatabaseError):
    """The server and the platform cannot agree on TLS, or the server's certificate cannot be trusted."""


class LoginRefusedError(DatabaseError):
    """The server does not let this user in (SQLSTATE 28P01, 28000)."""


class DatabaseMissingError(DatabaseError):
    """The server has no such database (SQLSTATE 3D000)."""


class AccessDeniedError(DatabaseError):
    """The user lacks a right (SQLSTATE 42501)."""


class TableMissingError(DatabaseError):
    """There is no such table (SQLSTATE 42P01)."""


class ColumnMissingError(DatabaseError):
    """There is no such column (SQLSTATE 42703)."""


class PoolerError(DatabaseError):
    """A connection pooler lends sessions in a way that the platform cannot work with."""


class ServerVersionError(DatabaseError):
    """The server is older than the platform can work with."""


class SeveralServersError(DatabaseError):
    """One URL leads to several servers, and a batch's connections to more than one of them."""


class DiskFullError(DatabaseError):
    """The database server is out of disk space (SQLSTATE 53100)."""


class ReplicaIdentityError(DatabaseError):
    """A table is published whose rows cannot be named to a subscriber, so that none can be changed (SQLSTATE 55000)."""


class DatabaseUnavailableError(DatabaseError):
    """The server broke off, or is starting, stopping or full, where it answered before."""

    transient = True


class DatabaseBusyError(DatabaseError):
    """Others were in the way: a deadlock, a lock or a statement that took too long."""

    transient = True


class RecoveryConflictError(DatabaseBusyError):
    """A standby canceled a query that was in the way of its replay (SQLSTATE 40001)."""


class ReadOnlyServerError(DatabaseUnavailableError):
    """The server takes no writes at the moment (SQLSTATE 25006)."""


class SourceBehindError(DatabaseUnavailableError):
    """The source is a standby that has not replayed yet what the newest batch holds."""


# The source's and the warehouse's tables.


class SourceSchemaError(TotesError):
    """The source's tables break the contract: the declaration in `totes_dagster/schema/totesys.py`."""


class WarehouseSchemaError(TotesError):
    """The warehouse's tables are not what the declaration says."""


class WarehouseBehindError(WarehouseSchemaError):
    """The warehouse's schema is older than this version of the platform, or missing, and could not be migrated."""


class WarehouseAheadError(WarehouseSchemaError):
    """The warehouse's schema is newer than this version of the platform."""


# The lake.


class LakeError(TotesError):
    """The lake could not be reached, or refused the platform."""


class LakeFolderMissingError(LakeError):
    """There is no such folder."""


class BucketMissingError(LakeError):
    """There is no such bucket."""


class LakeAccessDeniedError(LakeError):
    """The lake refuses the platform's credentials, or what it wants to do with them."""


class WrongRegionError(LakeError):
    """The bucket is in another region than the one configured."""


class LakeCertificateError(LakeError):
    """The certificate of the bucket's endpoint cannot be trusted."""


class ObjectArchivedError(LakeError):
    """An object was moved to an archive, from which it has to be restored before it can be read."""


class LakeUnavailableError(LakeError):
    """The lake does not answer, or answers that it cannot now."""

    transient = True


class ManifestError(TotesError):
    """A batch's manifest cannot be used."""


class ManifestMissingError(ManifestError):
    """A manifest is missing, though later ones exist."""


class ManifestDamagedError(ManifestError):
    """A manifest is damaged."""


class ManifestFormatError(ManifestError):
    """A manifest is of a format that this version does not know."""


class PartError(TotesError):
    """A part cannot be used."""


class PartMissingError(PartError):
    """A part is missing."""


class PartEmptyError(PartError):
    """A part has no bytes."""


class PartDamagedError(PartError):
    """A part is truncated, or otherwise damaged."""


class PartSchemaError(PartError):
    """A part is of another schema than its table's."""


# Batches.


class RowsUnaccountedError(TotesError):
    """The rows of a batch do not add up: what was ingested is not what was loaded, unchanged and quarantined."""


class BatchConflictError(TotesError):
    """Other ingests kept winning the next batch number."""


class ForeignLakeError(TotesError):
    """The warehouse was loaded from another lake than the one configured."""


# Alerts.


class AlertError(TotesError):
    """An alert cannot be published."""


class TopicMissingError(AlertError):
    """There is no such topic."""


class AlertAccessDeniedError(AlertError):
    """The platform's credentials may not publish to the topic."""


# Deployment.


class ProvisioningError(TotesError):
    """A server of a deployment cannot be set up."""
