"""What S3 and the way to it report, as named errors that say what to do."""

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
_PASSING = {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout"}
_CERTIFICATES = {
    "CaUsedAsEndEntity": "it is an authority's own, and no server's",
    "ExpiredContext": "it has expired",
    "NotValidForNameContext": "it is for another host",
    "UnknownIssuer": "its authority is not known",
}
_PASSING_STATUSES = {307, 408, 429, 500, 502, 503, 504}


def named_error(url: str, doing: str, error: Exception, *, answered: bool) -> LakeError:
    """Name a failure of a request.

    Args:
        url: the zone's.
        doing: what the zone was asked, for instance `create payment/part.parquet`.
        error: what obstore raised, or why there were no credentials.
        answered: whether this process has had an answer from the endpoint before.

    Returns:
        An error of one line, to be raised from None: S3 repeats tokens in the answers that obstore quotes in full.
    """
    kind, advice = _not_renewed(error) or _failed_on_the_way(error, answered=answered) or _refused(error)
    reason = str(error) if isinstance(error, CredentialsNotRenewedError) else _reason(str(error))
    return kind(f"The lake {url} could not {doing}: {reason} {advice}".rstrip())


def is_unexplained(error: Exception) -> bool:
    """Whether S3 refused without saying why, as it does when a HEAD request is to be refused."""
    status = _status_of(str(error))
    return status is not None and status < 500 and not _code_of(str(error))  # noqa: PLR2004 - server errors


def refuses_credentials(error: Exception) -> bool:
    """Whether S3 refused the credentials themselves, whatever they were used for."""
    return _code_of(str(error)) in _BAD_CREDENTIALS and not _names_region(str(error))


_Named = tuple[type[LakeError], str]


def _not_renewed(error: Exception) -> _Named | None:
    if not isinstance(error, CredentialsNotRenewedError):
        return None
    if error.passing:
        return LakeUnavailableError, "Try again when the source of the AWS credentials answers."
    return LakeAccessDeniedError, "Renew the AWS credentials, or choose others by AWS_PROFILE."


def _failed_on_the_way(error: Exception, *, answered: bool) -> _Named | None:
    text = str(error)
    if _status_of(text) is not None or "HttpError" not in text:
        return None
    if _certificate_fault(text):
        return (
            LakeCertificateError,
            "Correct the endpoint or its certificate, or name the file with its authority's certificates by "
            "AWS_CA_BUNDLE.",
        )
    if re.search(r"Error\(\s*Connect,", text) and not answered:
        return LakeError, "Check the region, AWS_ENDPOINT_URL, the proxy and the network."
    return LakeUnavailableError, "Try again when it is back."


def _refused(error: Exception) -> _Named:
    text = str(error)
    code, status = _code_of(text), _status_of(text)
    kinds: tuple[tuple[bool, type[LakeError], str], ...] = (  # the first that holds counts
        (code == "NoSuchBucket", BucketMissingError, "Create the bucket, or correct the lake's URL."),
        (
            code in _WRONG_REGION or "incorrectly configured region" in text or _names_region(text),
            WrongRegionError,
            "Set AWS_REGION to the region that the bucket is in.",
        ),
        (code == "RequestTimeTooSkewed", LakeAccessDeniedError, "Set the clock of this machine right."),
        (
            code in _BAD_CREDENTIALS or isinstance(error, UnauthenticatedError),
            LakeAccessDeniedError,
            "Renew the AWS credentials, choose others by AWS_PROFILE, or set the clock right.",
        ),
        (
            code == "InvalidObjectState",
            ObjectArchivedError,
            f"Restore the object from the archive{_storage_class(text)} first, and let no lifecycle rule move objects "
            "of the lake there.",
        ),
        (
            code in _CLOSED_ACCOUNT,
            LakeAccessDeniedError,
            "AWS has closed the account or the bucket: its owner has to ask AWS.",
        ),
        (
            code.startswith("KMS."),
            LakeError,
            "Enable the KMS key that the bucket encrypts with, or have the bucket use another.",
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
        (code in _PASSING or status in _PASSING_STATUSES, LakeUnavailableError, "Try again later."),
    )
    return next(((kind, advice) for holds, kind, advice in kinds if holds), (LakeError, ""))


def _reason(text: str) -> str:
    """What S3 says, without what else is in its answer; or what happened on the way to it."""
    said, _, debug = text.partition("Debug source")
    code, message = _code_of(said), re.search(r"<Message>(.*?)</Message>", said, re.DOTALL)
    if code:
        return one_line(f"{code}: {message[1]}" if message else code)
    status = re.search(r"status code: (\d{3} [^:]*)", said)
    if status:
        return one_line(status[1])
    if "kind: Timeout" in debug:
        return "No answer in time."
    if fault := _certificate_fault(debug):
        return f"The server's certificate cannot be trusted: {_CERTIFICATES.get(fault, fault)}."
    # Rust's own notation of the error, whose innermost words are the ones that say something.
    inner = re.findall(r'(?:message|error): "([^"]*)"', debug)
    broken = re.search(r"hyper::Error\(\s*(\w+)", debug)
    if inner or broken:
        return one_line(inner[-1] if inner else f"The connection broke off ({broken[1]})" if broken else "")
    return one_line(said.split(" - ")[-1])


def _code_of(text: str) -> str:
    code = re.search(r"<Code>([\w.]+)</Code>", text)
    return code[1] if code else ""


def _status_of(text: str) -> int | None:
    status = re.search(r"status code: (\d{3})", text)
    return int(status[1]) if status else None


def _certificate_fault(text: str) -> str:
    """What is wrong with the server's certificate, by rustls' own name for it; empty if nothing is."""
    fault = re.search(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)", text)
    return fault[1] if fault else ""


def _storage_class(text: str) -> str:
    """The class of an archived object, where S3 says it."""
    said = re.search(r"<StorageClass>(\w+)</StorageClass>", text)
    return f" ({said[1]})" if said else ""


def _names_region(text: str) -> bool:
    """Whether S3 says which region it expected; the same code comes with credentials that are none."""
    return _code_of(text) == "AuthorizationHeaderMalformed" and "region" in text
