"""What each call of AWS needs: a session that can be used, and what comes back in words that show no secret.

What a service's refusal means, and what to do then, is said where the service is called.
"""

import os
from typing import TYPE_CHECKING

from totes_dagster.errors import CredentialsMissingError, one_line

if TYPE_CHECKING:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

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


def new_session(region: str | None = None) -> "boto3.Session":
    """A session in a region; in the one that the environment names, unless given.

    Raises:
        CredentialsMissingError: the credentials cannot be sent.
    """
    import boto3  # noqa: PLC0415 - slow to import, and needed only where AWS is

    # A session of its own: the SDK's common one would keep the credentials that it found first, and knows
    # AWS_DEFAULT_REGION only.
    session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
    see_that_credentials_can_be_sent(session)
    return session


def see_that_credentials_can_be_sent(session: "boto3.Session") -> None:
    """Refuse AWS credentials with characters that no request can carry, such as a line break at the end.

    Raises:
        CredentialsMissingError: so they are. The message does not show them.
    """
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415 - slow to import

    found = session.get_credentials()
    # Those that are renewed come from a program, and asking for them now might renew them once too often.
    credentials = None if found is None or isinstance(found, RefreshableCredentials) else found.get_frozen_credentials()
    for secret in (credentials.access_key, credentials.token) if credentials else ():
        if secret and not (secret.isascii() and secret.isprintable()):
            raise CredentialsMissingError(
                "The AWS credentials hold a character that no request can carry, perhaps a line break at the end of "
                "AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN. Set them anew."
            )


def refusal(error: "ClientError") -> tuple[str, str]:
    """The code of a refusal, and the refusal in one line; not to be chained, for it may quote the signed request."""
    refused = error.response.get("Error", {})
    code, message = refused.get("Code", ""), refused.get("Message", "")
    # Where an answer is not as AWS words it, botocore gives its status for a code, and all of it.
    said = "" if code.isdecimal() else f": {message.partition('The Canonical String')[0]}"
    return code, one_line(f"{code}{said}")


def failure(error: "BotoCoreError | ValueError") -> str:
    """Why a request came to nothing, in one line; not to be chained, for an endpoint may hold a password."""
    from botocore.exceptions import HTTPClientError  # noqa: PLC0415 - slow to import

    # The most general of its errors quotes whatever the request was made of.
    return "The request failed." if type(error) is HTTPClientError else one_line(error)
