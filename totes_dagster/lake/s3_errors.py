"""Failures of requests to S3, or of the connection to it, as named errors that say what to do."""

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from totes_dagster.errors import (
    BucketMissingError,
    LakeAccessDeniedError,
    LakeCertificateError,
    LakeError,
    LakeUnavailableError,
    ObjectArchivedError,
    WrongRegionError,
    one_line,
)
from totes_dagster.lake.credentials import CredentialsNotRenewedError

_WRONG_REGION = {"PermanentRedirect", "IllegalLocationConstraintException"}
_BAD_CREDENTIALS = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_CLOSED_ACCOUNT = {"AccountProblem", "AllAccessDisabled", "InvalidPayer", "NotSignedUp"}
_TRANSIENT = {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout"}
_CERTIFICATES = {
    "CaUsedAsEndEntity": "it is the certificate of an authority, not of a server",
    "ExpiredContext": "it has expired",
    "NotValidForNameContext": "it is for another host",
    "UnknownIssuer": "its authority is not known",
}
_TRANSIENT_STATUSES = {307, 408, 429, 500, 502, 503, 504}


def named_error(url: str, operation: str, error: Exception, *, answered: bool) -> LakeError:
    """The named error for a failed request.

    Args:
        url: URL of the zone.
        operation: what the zone was asked to do, for example `create payment/part.parquet`.
        error: what obstore raised, or why there are no credentials.
        answered: whether the endpoint has answered this process before.

    Returns:
        An error of one line, to be raised from None: S3 repeats tokens in its responses, which obstore quotes in full.
    """
    kind, advice = _not_renewed(error) or _not_answered(error, answered=answered) or _refused(error)
    reason = str(error) if isinstance(error, CredentialsNotRenewedError) else _reason(str(error))
    return kind(f"The lake {url} could not {operation}: {reason} {advice}".rstrip())


def is_unexplained(error: Exception) -> bool:
    """Whether S3 refused a request without saying why, as it does for HEAD requests."""
    status = _status_of(str(error))
    return status is not None and status < 500 and not _code_of(str(error))  # noqa: PLR2004 - server errors


def refuses_credentials(error: Exception) -> bool:
    """Whether S3 refused the credentials themselves, and not what they were used for."""
    return _code_of(str(error)) in _BAD_CREDENTIALS and not _names_region(str(error))


_Named = tuple[type[LakeError], str]


def _not_renewed(error: Exception) -> _Named | None:
    if not isinstance(error, CredentialsNotRenewedError):
        return None
    if error.transient:
        return LakeUnavailableError, "Try again when the source of the AWS credentials answers."
    return LakeAccessDeniedError, "Renew the AWS credentials, or choose others with AWS_PROFILE."


def _not_answered(error: Exception, *, answered: bool) -> _Named | None:
    text = str(error)
    if _status_of(text) is not None or "HttpError" not in text:
        return None
    if _certificate_fault(text):
        return (
            LakeCertificateError,
            "Correct the endpoint or its certificate, or set AWS_CA_BUNDLE to the file with its authority's "
            "certificate.",
        )
    if re.search(r"Error\(\s*Connect,", text) and not answered:
        return LakeError, "Check the region, AWS_ENDPOINT_URL, the proxy and the network."
    return LakeUnavailableError, "Try again when it is back."


def _refused(error: Exception) -> _Named:
    text = str(error)
    code, status = _code_of(text), _status_of(text)
    kinds: tuple[tuple[bool, type[LakeError], str], ...] = (  # the first one that is true applies
        (code == "NoSuchBucket", BucketMissingError, "Create the bucket, or correct the lake's URL."),
        (
            code in _WRONG_REGION or "incorrectly configured region" in text or _names_region(text),
            WrongRegionError,
            "Set AWS_REGION to the region of the bucket.",
        ),
        (code == "RequestTimeTooSkewed", LakeAccessDeniedError, "Correct the clock of this machine."),
        (
            code in _BAD_CREDENTIALS or isinstance(error, UnauthenticatedError),
            LakeAccessDeniedError,
            "Renew the AWS credentials, choose others with AWS_PROFILE, or correct the clock of this machine.",
        ),
        (
            code == "InvalidObjectState",
            ObjectArchivedError,
            f"Restore the object from the archive{_storage_class(text)} first, and make sure that no lifecycle rule "
            "archives objects of the lake.",
        ),
        (
            code in _CLOSED_ACCOUNT,
            LakeAccessDeniedError,
            "AWS has closed the account or the bucket: its owner has to contact AWS.",
        ),
        (
            code.startswith("KMS."),
            LakeError,
            "Enable the KMS key that the bucket encrypts with, or configure another key for the bucket.",
        ),
        (
            code == "AccessDenied" and "kms:" in text,
            LakeAccessDeniedError,
            "Allow kms:GenerateDataKey and kms:Decrypt with the bucket's key.",
        ),
        (
            isinstance(error, PermissionDeniedError) or status in {401, 403},
            LakeAccessDeniedError,
            "Allow s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject on its objects.",
        ),
        (code in _TRANSIENT or status in _TRANSIENT_STATUSES, LakeUnavailableError, "Try again later."),
    )
    return next(((kind, advice) for applies, kind, advice in kinds if applies), (LakeError, ""))


def _reason(text: str) -> str:
    """The code and message of S3's response, or what happened to the connection."""
    summary, _, debug = text.partition("Debug source")
    code, message = _code_of(summary), re.search(r"<Message>(.*?)</Message>", summary, re.DOTALL)
    if code:
        return one_line(f"{code}: {message[1]}" if message else code)
    status = re.search(r"status code: (\d{3} [^:]*)", summary)
    if status:
        return one_line(status[1])
    if "kind: Timeout" in debug:
        return "No answer in time."
    if fault := _certificate_fault(debug):
        return f"The server's certificate cannot be trusted: {_CERTIFICATES.get(fault, fault)}."
    # Rust's debug format of the error: the innermost message is the informative one.
    inner = re.findall(r'(?:message|error): "([^"]*)"', debug)
    broken = re.search(r"hyper::Error\(\s*(\w+)", debug)
    if inner or broken:
        return one_line(inner[-1] if inner else f"The connection was lost ({broken[1]})" if broken else "")
    return one_line(summary.split(" - ")[-1])


def _code_of(text: str) -> str:
    code = re.search(r"<Code>([\w.]+)</Code>", text)
    return code[1] if code else ""


def _status_of(text: str) -> int | None:
    status = re.search(r"status code: (\d{3})", text)
    return int(status[1]) if status else None


def _certificate_fault(text: str) -> str:
    """What is wrong with the server's certificate, by the name of rustls' error; empty if nothing is."""
    fault = re.search(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)", text)
    return fault[1] if fault else ""


def _storage_class(text: str) -> str:
    """The storage class of an archived object in parentheses; empty if the response does not contain it."""
    found = re.search(r"<StorageClass>(\w+)</StorageClass>", text)
    return f" ({found[1]})" if found else ""


def _names_region(text: str) -> bool:
    """Whether S3 says which region it expected; it returns the same code for malformed credentials."""
    return _code_of(text) == "AuthorizationHeaderMalformed" and "region" in text
