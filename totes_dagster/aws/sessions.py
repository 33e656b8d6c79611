"""What each call of AWS needs: a session that can be used, and what comes back in words that show no secret.

What a service's refusal means, and what to do then, is said where the service is called.
"""

import os
from typing import TYPE_CHECKING

from totes_dagster.errors import CredentialsMissingError, one_line

if TYPE_CHECKING:
    import boto3
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session

DENIED = {"401", "403", "AccessDenied", "AccessDeniedException"}
"""Codes of a refusal of what these credentials want to do."""

BAD_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
"""Codes of a refusal of the credentials themselves."""

SET_CREDENTIALS = "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role."


def new_session(region: str | None = None) -> "boto3.Session":
    """A session in a region; in the one that the environment or the profile names, unless given.

    Raises:
        CredentialsMissingError: the credentials cannot be read, or cannot be sent.
    """
    import boto3  # noqa: PLC0415 - slow to import, and needed only where AWS is

    core = new_core_session(region)
    _found(core)
    return boto3.Session(botocore_session=core)


def new_core_session(region: str | None = None) -> "Session":
    """The same as a session of botocore, which says how it is configured; nothing is read yet."""
    # Of its own: the SDK's common one would keep the credentials that it found first.
    from botocore.session import Session  # noqa: PLC0415 - slow to import

    session = Session()
    # The SDK knows AWS_DEFAULT_REGION only.
    if chosen := region or os.environ.get("AWS_REGION"):
        session.set_config_variable("region", chosen)
    return session


def credentials_of(session: "Session") -> "Credentials":
    """The credentials that a session finds.

    Raises:
        CredentialsMissingError: it finds none, or they cannot be read, or cannot be sent.
    """
    found = _found(session)
    if found is None:
        raise CredentialsMissingError(f"There are no AWS credentials. {SET_CREDENTIALS}")
    return found


def require_sendable(credentials: "ReadOnlyCredentials") -> None:
    """Check that a request can carry the credentials, which it cannot with a line break at their end, for instance.

    Raises:
        CredentialsMissingError: it cannot. The message does not show them.
    """
    for secret in (credentials.access_key, credentials.token):
        if secret and not (secret.isascii() and secret.isprintable()):
            raise CredentialsMissingError(
                "The AWS credentials hold a character that no request can carry, perhaps a line break at the end of "
                "AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN. Set them anew."
            )


def why_unreadable(error: Exception) -> str:
    """Why a source gave no credentials, in one line."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    return refusal(error)[1] if isinstance(error, ClientError) else one_line(error)


def is_outage_of_source(error: Exception) -> bool:
    """Whether a source of credentials may give them in a moment: what answers there is away, or too busy."""
    from botocore.exceptions import (  # noqa: PLC0415
        ClientError,
        ConnectionError,  # noqa: A004 - botocore's own
        HTTPClientError,
        MetadataRetrievalError,
    )

    if isinstance(error, ClientError):  # of STS, or of the single sign-on
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status == 429 or status >= 500  # noqa: PLR2004
    # What a container's endpoint fails with comes wrapped, as that of a program does.
    of_network = ConnectionError, HTTPClientError, MetadataRetrievalError
    return isinstance(error, of_network) or isinstance(error.__context__, of_network)


def refusal(error: "ClientError") -> tuple[str, str]:
    """The code of a refusal, and the refusal in one line; not to be chained, for it may quote the signed request."""
    refused = error.response.get("Error", {})
    code, message = refused.get("Code", ""), refused.get("Message", "")
    # Where an answer is not as AWS words it, botocore gives its status for a code, and all of it.
    said = "" if code.isdecimal() else f": {message.partition('The Canonical String')[0]}"
    return code, one_line(f"{code}{said}")


def failure(error: "BotoCoreError | ValueError | RuntimeError") -> str:
    """Why a request came to nothing, in one line; not to be chained, for an endpoint may hold a password."""
    from botocore.exceptions import HTTPClientError, SSLError  # noqa: PLC0415 - slow to import

    if isinstance(error, SSLError):
        return f"{one_line(error)} Name the file with the certificates of its authority by AWS_CA_BUNDLE."
    # The most general of its errors quotes whatever the request was made of.
    return "The request failed." if type(error) is HTTPClientError else one_line(error)


def _found(session: "Session") -> "Credentials | None":
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415 - slow to import

    try:
        found = session.get_credentials()
        if found is None:
            return None
        # Those that are renewed come from a program, and asking for them now might renew them once too often; but for
        # those of the environment, which may say that they have expired.
        if not isinstance(found, RefreshableCredentials) or found.method == "env":
            require_sendable(found.get_frozen_credentials())
    except CredentialsMissingError:
        raise
    except Exception as error:  # a source may be a program, a file, or a service: each fails in its own way
        raise CredentialsMissingError(
            f"The AWS credentials cannot be read: {why_unreadable(error)} {SET_CREDENTIALS}"
        ) from None
    return found
