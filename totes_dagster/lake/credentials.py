"""The credentials that sign requests to a bucket: the AWS SDK's current ones, read again if S3 refuses them.

obstore caches credentials until they expire, and cannot be made to drop them earlier. The SDK knows when to refresh
credentials from each kind of source. So obstore calls this module for every request, which costs a few microseconds,
and caches nothing. Credentials without an expiry, as tools write them into the shared credentials file, are read again
when S3 refuses the old ones.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from totes_dagster.aws import sessions as aws
from totes_dagster.errors import CredentialsMissingError

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.session import Session
    from obstore.store import S3Credential

T = TypeVar("T")

ASK_EVERY = 5.0
"""Minimum number of seconds between two calls of the SDK. In the last ten minutes before credentials expire, the SDK
asks their source on every call, and a credential process that returns cached ones would be run for every request."""


class CredentialsNotRenewedError(Exception):
    """The source of the credentials did not return new ones; the message is one line.

    Attributes:
        transient: whether it may do so if asked again.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class Signer:
    """Credentials for one bucket, from wherever the AWS SDK finds them; safe to use from several threads.

    Args:
        session: the session in which to look for credentials first.

    Raises:
        CredentialsMissingError: there are no credentials.
    """

    def __init__(self, session: "Session") -> None:
        self._lock = threading.Lock()
        self._credentials = aws.credentials_of(session)
        self._current: ReadOnlyCredentials | None = None
        self._refreshed_at = float("-inf")

    def __call__(self) -> "S3Credential":
        """The credentials for one request, in the form that obstore expects."""
        current = self._current or self._refresh()
        return {
            "access_key_id": current.access_key,
            "secret_access_key": current.secret_key,
            "token": current.token,
            "expires_at": datetime.now(UTC),  # makes obstore call again; the SDK knows the real expiry
        }

    def signed(self, request: Callable[[], T], is_refused: Callable[[Exception], bool]) -> T:
        """Send a request. If its credentials are refused, read the credentials again and repeat the request once.

        Args:
            request: sends the request, calling this object for credentials.
            is_refused: whether an error that `request` raised means that the credentials themselves were refused.

        Raises:
            CredentialsNotRenewedError: the credentials have expired, and there are no new ones.
            CredentialsMissingError: the new credentials cannot be sent in a request.
        """
        used = self._credentials
        if time.monotonic() - self._refreshed_at >= ASK_EVERY:
            # Here, and not when obstore calls: obstore would reduce an error of the source to its text.
            self._refresh()
        try:
            return request()
        except Exception as error:
            if not is_refused(error) or not self._renew(used):
                raise
        self._refresh()
        return request()

    def _refresh(self) -> "ReadOnlyCredentials":
        """Get the SDK's current credentials, which it renews when they are due."""
        try:
            current = self._credentials.get_frozen_credentials()
        except Exception as error:  # a source may be a program, a file, or a service: each fails in its own way
            raise CredentialsNotRenewedError(
                aws.why_unreadable(error), transient=aws.is_outage_of_source(error)
            ) from None
        aws.require_sendable(current)
        self._current, self._refreshed_at = current, time.monotonic()
        return current

    def _renew(self, refused: "Credentials") -> bool:
        """Read the credentials again, unless another thread has done so; return False if there are none now."""
        with self._lock:
            if self._credentials is refused:
                try:
                    # In a new session, because the old one would return what it found before.
                    self._credentials = aws.credentials_of(aws.new_core_session())
                except CredentialsMissingError:
                    return False
        return True
