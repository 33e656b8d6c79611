"""The credentials that sign requests to a bucket: those that the SDK holds at the moment, and new ones when refused.

obstore caches credentials by their expiry alone, and cannot be made to drop them before it. The SDK knows when each of
its sources is to be asked again. So obstore asks here for every request, which costs some microseconds, and caches
nothing. Credentials without an expiry, as tools write them into the shared credentials file, are read anew when S3
refuses the ones that were there before.
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
"""Seconds between two questions to the SDK. In the last ten minutes of credentials it asks their source each time, and
a program that hands out what it keeps would be run for every request."""


class CredentialsNotRenewedError(Exception):
    """The source of the credentials did not give new ones when asked; the message is one line.

    Attributes:
        passing: whether it may do so in a moment.
    """

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class Signer:
    """Credentials from wherever the AWS SDK finds them, for one bucket and any number of threads.

    Args:
        session: where they are first looked for.

    Raises:
        CredentialsMissingError: there are none.
    """

    def __init__(self, session: "Session") -> None:
        self._lock = threading.Lock()
        self._credentials = aws.credentials_of(session)
        self._current: ReadOnlyCredentials | None = None
        self._asked = float("-inf")

    def __call__(self) -> "S3Credential":
        """The credentials for one request, in the form in which obstore wants them."""
        current = self._current or self._refresh()
        return {
            "access_key_id": current.access_key,
            "secret_access_key": current.secret_key,
            "token": current.token,
            "expires_at": datetime.now(UTC),  # so that obstore asks again; the SDK knows when they really do
        }

    def signed(self, request: Callable[[], T], is_refused: Callable[[Exception], bool]) -> T:
        """Send a request; once more with credentials that are read anew, where those that it was sent with are refused.

        Args:
            request: sends it, and asks this object for credentials meanwhile.
            is_refused: whether what it raised is a refusal of the credentials themselves.

        Raises:
            CredentialsNotRenewedError: the last credentials have expired, and there are no new ones.
            CredentialsMissingError: the new ones cannot be sent.
        """
        used = self._credentials
        if time.monotonic() - self._asked >= ASK_EVERY:
            # Here, and not when obstore asks, which makes a text of what goes wrong with their source.
            self._refresh()
        try:
            return request()
        except Exception as error:
            if not is_refused(error) or not self._renew(used):
                raise
        self._refresh()
        return request()

    def _refresh(self) -> "ReadOnlyCredentials":
        """Have the SDK renew the credentials, if it thinks it is time."""
        try:
            current = self._credentials.get_frozen_credentials()
        except Exception as error:  # a source may be a program, a file, or a service: each fails in its own way
            raise CredentialsNotRenewedError(
                aws.why_unreadable(error), passing=aws.is_outage_of_source(error)
            ) from None
        aws.require_sendable(current)
        self._current, self._asked = current, time.monotonic()
        return current

    def _renew(self, refused: "Credentials") -> bool:
        """Look for credentials anew, unless another thread has done so; False if there are none now."""
        with self._lock:
            if self._credentials is refused:
                try:
                    # In a session of its own, for this one would return what it found before.
                    self._credentials = aws.credentials_of(aws.new_core_session())
                except CredentialsMissingError:
                    return False
        return True
