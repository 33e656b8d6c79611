"""Compares `rds-authorities.pem`, the certificate authorities of databases that the image trusts, with AWS's own file.

`python deploy/image/rds_authorities.py` fails if the image trusts an authority that AWS does not publish. It also lists
published ones that the image lacks, for example those of a new region. `--write` replaces our file by AWS's
authorities. Needs Python and no package.
"""

import argparse
import re
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

OURS = Path(__file__).with_name("rds-authorities.pem")
PUBLISHED = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_WANTED = re.compile(r"Amazon RDS [a-z0-9-]+ Root CA [A-Z0-9]+ G\d+")
"""The current roots of the regions: not those that expired in 2024, nor RDS's previews."""


def authorities(bundle: str) -> dict[str, str]:
    """The certificates of RDS's current roots in a bundle, by name.

    Raises:
        ValueError: there are none, so this is not RDS's bundle.
    """
    named = {_name(certificate): certificate for certificate in _CERTIFICATE.findall(bundle)}
    wanted = {name: certificate for name, certificate in sorted(named.items()) if _WANTED.fullmatch(name)}
    if not wanted:
        raise ValueError("The bundle contains no certificate of an Amazon RDS root.")
    return wanted


def foreign(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """The names of our certificates that AWS does not publish, or publishes with other content."""
    return [name for name, certificate in ours.items() if _bytes(certificate) != _bytes(theirs.get(name, ""))]


def written(roots: dict[str, str]) -> str:
    """The text of a bundle; the lines between the certificates are comments."""
    return "".join(f"# {name}\n{certificate}\n" for name, certificate in roots.items())


def main(arguments: Sequence[str]) -> int:
    """Compare or write the authorities; return the exit status."""
    parser = argparse.ArgumentParser(description="Compare the RDS authorities that the image trusts with AWS's.")
    parser.add_argument("--write", action="store_true", help="replace our authorities by AWS's")
    parser.add_argument("--published", default=PUBLISHED, metavar="URL", help="address of AWS's bundle")
    parser.add_argument("--ours", default=OURS, type=Path, metavar="FILE", help="our bundle")
    options = parser.parse_args(arguments)
    with urlopen(options.published, timeout=30) as answer:  # noqa: S310 - the caller's own URL
        theirs = authorities(answer.read().decode("ascii"))
    if options.write:
        options.ours.write_text(written(theirs))
    ours = authorities(options.ours.read_text())
    missing = sorted(theirs.keys() - ours.keys())
    unknown = foreign(ours, theirs)
    write = sys.stdout.write
    write(f"{len(ours)} authorities are trusted, and {len(theirs)} published.\n")
    write("".join(f"Published, but not trusted: {name}\n" for name in missing))
    write("".join(f"TRUSTED, BUT NOT PUBLISHED: {name}\n" for name in unknown))
    return 1 if unknown else 0


def _name(certificate: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    found: list[dict[str, Any]] = context.get_ca_certs()
    subject = {key: value for authority in found for ((key, value),) in authority["subject"]}
    return str(subject.get("commonName", ""))


def _bytes(certificate: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate) if certificate else b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
