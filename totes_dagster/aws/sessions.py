"""What every call of AWS needs: a usable session, and descriptions of failures that show no secret.

What a service's refusal means, and what to do about it, belongs where the service is called.
"""

import os
from functools import cache
from typing import TYPE_CHECKING

from totes_dagster.errors import CredentialsMissingError, one_line

if TYPE_CHECKING:
    import boto3
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.loaders import Loader
    from botocore.session import Session

DENIED = {"401", "403", "AccessDenied", "AccessDeniedException"}
"""Codes of a service that denies these credentials a request."""

BAD_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
"""Codes of a service that rejects the credentials themselves."""

SET_CREDENTIALS = "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role."


def new_session(region: str | None = None) -> "boto3.Session":
    """A session in a region; by default the region that the environment or the profile names.

    Raises:
        CredentialsMissingError: the credentials cannot be read, or no request can carry them.
    """
    import boto3  # noqa: PLC0415 - slow to import, and needed only where AWS is

    core = new_core_session(region)
    _find_credentials(core)
    return boto3.Session(botocore_session=core)


def new_core_session(region: str | None = None) -> "Session":
    """The same as a botocore session, which exposes its configuration; reads no credentials yet."""
    # A new one: the SDK's default session keeps the credentials that it found first.
    from botocore.session import Session  # noqa: PLC0415 - slow to import

    session = Session()
    # The SDK reads AWS_DEFAULT_REGION only.
    if chosen := region or os.environ.get("AWS_REGION"):
        session.set_config_variable("region", chosen)
    return session


def share_models(session: "Session") -> None:
    """Have a session use the descriptions of services that others of this process have read: megabytes of JSON.

    Raises:
        BotoCoreError: the SDK's configuration cannot be read.
    """
    session.register_component("data_loader", _models_at(session.get_config_variable("data_path")))


@cache
def _models_at(path: str | None) -> "Loader":
    from botocore.loaders import create_loader  # noqa: PLC0415 - slow to import

    return create_loader(path)


def credentials_of(session: "Session") -> "Credentials":
    """The credentials that a session finds.

    Raises:
        CredentialsMissingError: there are none, they cannot be read, or no request can carry them.
    """
    found = _find_credentials(session)
    if found is None:
        raise CredentialsMissingError(f"There are no AWS credentials. {SET_CREDENTIALS}")
    return found


def require_sendable(credentials: "ReadOnlyCredentials") -> None:
    """Check that a request can carry the credentials; it cannot, for example, if they end in a line break.

    Raises:
        CredentialsMissingError: no request can. The message does not show them.
    """
    for secret in (credentials.access_key, credentials.token):
        if secret and not (secret.isascii() and secret.isprintable()):
            raise CredentialsMissingError(
                "The AWS credentials contain a character that no request can carry, perhaps a line break at the end of "
                "AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN. Set them again."
            )


def why_unreadable(error: Exception) -> str:
    """Why a credential source returned nothing, in one line."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    return refusal(error)[1] if isinstance(error, ClientError) else one_line(error)


def is_outage_of_source(error: Exception) -> bool:
    """Whether a credential source may succeed in a moment: its endpoint is unreachable or overloaded."""
    from botocore.exceptions import (  # noqa: PLC0415
        ClientError,
        ConnectionError,  # noqa: A004 - botocore's own
        HTTPClientError,
        MetadataRetrievalError,
    )

    if isinstance(error, ClientError):  # of STS, or of the single sign-on
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status == 429 or status >= 500  # noqa: PLR2004
    # A container's endpoint and a credential program wrap the error that they fail with.
    network_errors = ConnectionError, HTTPClientError, MetadataRetrievalError
    return isinstance(error, network_errors) or isinstance(error.__context__, network_errors)


def refusal(error: "ClientError") -> tuple[str, str]:
    """A refusal's code, and the refusal in one line. Do not chain the error: it may quote the signed request."""
    refused = error.response.get("Error", {})
    code, message = refused.get("Code", ""), refused.get("Message", "")
    # If the response is not in AWS's format, botocore gives its status as the code, and its whole body as the message.
    reason = "" if code.isdecimal() else f": {message.partition('The Canonical String')[0]}"
    return code, one_line(f"{code}{reason}")


def failure(error: "BotoCoreError | ValueError | RuntimeError") -> str:
    """Why a request failed, in one line. Do not chain the error: its endpoint may contain a password."""
    from botocore.exceptions import HTTPClientError, SSLError  # noqa: PLC0415 - slow to import

    if isinstance(error, SSLError):
        return f"{one_line(error)} Set AWS_CA_BUNDLE to the file with the certificates of its authority."
    # botocore's most general error quotes the request.
    return "The request failed." if type(error) is HTTPClientError else one_line(error)


def _find_credentials(session: "Session") -> "Credentials | None":
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415 - slow to import

    try:
        found = session.get_credentials()
        if found is None:
            return None
        # Refreshable credentials come from a program, and reading them now might refresh them once too often. Those of
        # the environment are refreshable only in name: with an expiration time set, they may have expired.
        if not isinstance(found, RefreshableCredentials) or found.method == "env":
            require_sendable(found.get_frozen_credentials())
    except CredentialsMissingError:
        raise
    except Exception as error:  # the source may be a program, a file or a service: each fails in its own way
        raise CredentialsMissingError(
            f"The AWS credentials cannot be read: {why_unreadable(error)} {SET_CREDENTIALS}"
        ) from None
    return found
