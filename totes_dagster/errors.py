"""The platform's errors. Each message says what happened, to what, and what to do next.

A *transient* error may not occur again when the same call is repeated. Calls that raise one are retried, all others
fail at once: see `runtime/retry.py`.
"""

import re
from typing import Any, ClassVar


class TotesError(Exception):
    """Base class of every error that the platform raises on purpose, with a message that the user can act on."""

    transient: ClassVar[bool] = False

    exit_status: ClassVar[int] = 1
    """With what a command ends of it."""

    def __init__(self, message: str, **facts: object) -> None:
        """Create the error.

        Args:
            message: what happened and what to do about it.
            facts: what the error is about, by name, for code that handles or displays it: a table, an SQLSTATE.
        """
        super().__init__(message)
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        """How the error is sent to another process, whatever its class needs to be created."""
        return _received, (type(self), self.args, self.__dict__)


def _received(kind: type[TotesError], arguments: tuple[object, ...], attributes: dict[str, object]) -> TotesError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


def one_line(text: object) -> str:
    """A message of another program as one line that ends like a sentence, with the credentials in its URLs masked."""
    line = re.sub(r":/{1,2}[^\s\"'<>]*@", "://***@", " ".join(str(text).split()))
    return line if line.endswith(("?", "!", ".")) else f"{line}."


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
    """The secret does not exist."""


class SecretAccessDeniedError(SecretError):
    """The platform's credentials do not allow it to read a secret."""


class SecretFormatError(SecretError):
    """A secret is not a JSON object."""


class SecretIncompleteError(SecretError):
    """A secret lacks a key."""


class CredentialsMissingError(SettingsError):
    """There are no AWS credentials, or they cannot be read."""


# Databases.


class DatabaseError(TotesError):
    """A database cannot be reached, refuses a request, or closed the connection."""


class HostUnknownError(DatabaseError):
    """The host name of the database cannot be resolved."""


class PortClosedError(DatabaseError):
    """No server listens on the database's host and port."""


class ConnectTimeoutError(DatabaseError):
    """The database's host cannot be reached, or does not answer in time."""


class EncryptionError(DatabaseError):
    """The server and the platform cannot agree on TLS, or the server's certificate cannot be trusted."""


class LoginRefusedError(DatabaseError):
    """The server refuses to let this user log in (SQLSTATE 28P01, 28000)."""


class DatabaseMissingError(DatabaseError):
    """The database does not exist on the server (SQLSTATE 3D000)."""


class AccessDeniedError(DatabaseError):
    """The user lacks a privilege (SQLSTATE 42501)."""


class TableMissingError(DatabaseError):
    """A table does not exist (SQLSTATE 42P01)."""


class ColumnMissingError(DatabaseError):
    """A column does not exist (SQLSTATE 42703)."""


class PoolerError(DatabaseError):
    """A connection pooler is configured in a way that the platform cannot work with."""


class ServerVersionError(DatabaseError):
    """The server is older than the oldest version that the platform supports."""


class SeveralServersError(DatabaseError):
    """One URL leads to several servers, and the connections of one batch reached more than one of them."""


class DiskFullError(DatabaseError):
    """The database server is out of disk space (SQLSTATE 53100)."""


class ReplicaIdentityError(DatabaseError):
    """A published table has no replica identity, so its rows cannot be updated or deleted (SQLSTATE 55000)."""


class DatabaseUnavailableError(DatabaseError):
    """The server closed the connection, is starting or stopping, has no free connections, or no longer answers."""

    transient = True


class DatabaseBusyError(DatabaseError):
    """Another session blocked this one: a deadlock, or a lock or a statement that timed out."""

    transient = True


class RecoveryConflictError(DatabaseBusyError):
    """A standby canceled a query because it conflicted with recovery (SQLSTATE 40001)."""


class ReadOnlyServerError(DatabaseUnavailableError):
    """The server is read-only at the moment (SQLSTATE 25006)."""


class SourceBehindError(DatabaseUnavailableError):
    """The source is a standby that has not yet replayed everything that the newest batch contains."""


# The source's and the warehouse's tables.


class SourceSchemaError(TotesError):
    """The source's tables break the contract: the declaration in `totes_dagster/schema/totesys.py`."""


class WarehouseSchemaError(TotesError):
    """The warehouse's tables differ from the declaration."""


class WarehouseBehindError(WarehouseSchemaError):
    """The warehouse's schema is older than this version of the platform, or missing, and could not be migrated."""


class WarehouseAheadError(WarehouseSchemaError):
    """The warehouse's schema is newer than this version of the platform."""


# The lake.


class LakeError(TotesError):
    """The lake cannot be reached, or refuses a request."""


class LakeFolderMissingError(LakeError):
    """The folder does not exist."""


class BucketMissingError(LakeError):
    """The bucket does not exist."""


class LakeAccessDeniedError(LakeError):
    """The lake rejects the platform's credentials, or they do not allow the request."""


class WrongRegionError(LakeError):
    """The bucket is in another region than the one configured."""


class LakeCertificateError(LakeError):
    """The certificate of the bucket's endpoint cannot be trusted."""


class ObjectArchivedError(LakeError):
    """An object was moved to an archive, and must be restored from there before it can be read."""


class LakeUnavailableError(LakeError):
    """The lake does not answer, or cannot serve the request at the moment."""

    transient = True


class ManifestError(TotesError):
    """A batch's manifest cannot be used."""


class ManifestMissingError(ManifestError):
    """A manifest is missing, though later ones exist."""


class ManifestDamagedError(ManifestError):
    """A manifest is damaged."""


class ManifestFormatError(ManifestError):
    """A manifest has a format that this version of the platform does not support."""


class ObjectReplacedError(LakeError):
    """An object was replaced or removed after it was listed."""


class PartError(TotesError):
    """A part cannot be used."""


class PartMissingError(PartError):
    """A part is missing."""


class PartEmptyError(PartError):
    """A part is empty: it has no bytes."""


class PartDamagedError(PartError):
    """A part is truncated, or otherwise damaged."""


class PartSchemaError(PartError):
    """The schema of a part is not that of its table."""


# Batches.


class RowsUnaccountedError(TotesError):
    """The rows of a batch do not add up: the ingested rows are not the loaded, unchanged and quarantined rows."""


class RowsRepeatedError(TotesError):
    """Rows of a batch share a key that must be unique. The batch is not loaded."""


class BatchUnknownError(TotesError):
    """A batch that somebody asks for is not committed."""


class SelectionError(TotesError):
    """Somebody asks for rows of a table in a way that is not possible."""


class QueryError(TotesError):
    """Somebody asks the warehouse something that is not one query."""


class BatchConflictError(TotesError):
    """Other ingests took the next batch number on every attempt."""


class ForeignLakeError(TotesError):
    """The warehouse was loaded from another lake than the one configured."""


# The cluster.


class ClusterError(TotesError):
    """Workers cannot do some work. The process that asked for it does it instead."""


class ClusterCredentialsError(SettingsError):
    """The credentials of a cluster are missing, or cannot be read."""


class ClusterStartError(ClusterError):
    """The programs of a cluster cannot be started, or have ended."""


# Feeds.


class FeedError(TotesError):
    """A feed cannot be taken from the landing zone."""


class FeedUnknownError(FeedError):
    """There is no feed of this name."""


class FileRefusedError(FeedError):
    """None of a file's rows can be taken: it is damaged, too large, or not what the feed expects."""


# Exchange rates.


class RatesError(TotesError):
    """Exchange rates cannot be fetched, or a body with exchange rates cannot be used."""


class RatesCurrencyError(RatesError):
    """There is no currency to ask for, or one whose code is not three letters."""


class RatesUnavailableError(RatesError):
    """The provider cannot be reached, does not answer in time, limits requests, or fails (HTTP 408, 429, 5xx).

    The fact `retry_after` says for how many seconds the provider asks to wait, if it does.
    """

    transient = True


class RatesCertificateError(RatesError):
    """The certificate of the provider's server cannot be trusted."""


class RatesRefusedError(RatesError):
    """The provider refuses the request (another HTTP 4xx), or redirects it to another host."""


class RatesMissingError(RatesError):
    """The provider has published no rates since the day asked for."""


class RatesFormatError(RatesError):
    """A body is too large, has neither of the formats, or contains a rate that cannot be one."""


# The dashboard.


class DashboardError(TotesError):
    """The dashboard cannot be served or exported."""


class FilterError(TotesError):
    """The address of a page has filters that make no sense."""


# Metrics.


class MetricError(TotesError):
    """Somebody asks for a number that cannot be given, or would be wrong."""


class MetricUnknownError(MetricError):
    """There is no metric of this name."""


class DimensionRefusedError(MetricError):
    """The metric may not be split by this dimension, or restricted to members of it."""


class DimensionValueError(MetricError):
    """A value cannot be a member of its dimension, or a period ends before it begins."""


class CurrenciesMixedError(MetricError):
    """Amounts in several currencies would be added up."""


class ChartError(MetricError):
    """An answer cannot be drawn."""


# Alerts.


class AlertError(TotesError):
    """An alert cannot be published."""


class TopicMissingError(AlertError):
    """The topic does not exist."""


class AlertAccessDeniedError(AlertError):
    """The platform's credentials do not allow it to publish to the topic."""


# Deployment.


class ProvisioningError(TotesError):
    """A server of a deployment cannot be set up."""


class DagsterAtWorkError(ProvisioningError):
    """Dagster's storage has to be migrated, and Dagster is using it."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h
