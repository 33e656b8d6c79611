"""The credentials that sign requests to a bucket: those that the SDK holds at the moment, and new ones when refused.

obstore keeps what it is given until five minutes before the end that it is given, and nothing makes it let go of that
sooner. The SDK knows better: when each of its sources has to be asked again, and that a program's or a container's
credentials may live for less. So obstore is made to ask for every request, which costs some microseconds; and what a
tool rewrites in the shared credentials file, which has no end, is read anew when S3 refuses what was there before.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from totes_dagster import aws
from totes_dagster.errors import CredentialsMissingError

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session
    from obstore.store import S3Credential

T = TypeVar("T")


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

    def __call__(self) -> "S3Credential":
        """The credentials for one request, in the form in which obstore wants them.

        Raises:
            CredentialsNotRenewedError: the last ones have expired, and there are no new ones.
            CredentialsMissingError: they cannot be sent.
        """
        try:
            frozen = self._credentials.get_frozen_credentials()
        except Exception as error:  # a source may be a program, a file, or a service: each fails in its own way
            raise CredentialsNotRenewedError(
                aws.why_unreadable(error), passing=aws.is_outage_of_source(error)
            ) from None
        aws.see_that_they_can_be_sent(frozen)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC),  # so that it asks again; the SDK knows when they really do
        }

    def signed(self, request: Callable[[], T], is_refused: Callable[[Exception], bool]) -> T:
        """Send a request; once more with credentials that are read anew, where those that it was sent with are refused.

        Args:
            request: sends it, and asks this object for credentials meanwhile.
            is_refused: whether what it raised is a refusal of the credentials themselves.

        Raises:
            CredentialsNotRenewedError: the request was not sent for want of credentials.
        """
        used = self._credentials
        # Here, where what goes wrong with their source is still an exception, and not obstore's rendering of one.
        self()
        try:
            return request()
        except Exception as error:
            if not is_refused(error) or not self._renew(used):
                raise
        return request()

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
