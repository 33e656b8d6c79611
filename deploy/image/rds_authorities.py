"""Compares `rds-authorities.pem`, whose certificates the image trusts to sign those of databases, with AWS's own file.

`python deploy/image/rds_authorities.py` fails where we trust one that AWS does not publish, and says which of AWS's
we lack, as we do when there is a new region. With `--write` ours is made anew from AWS's. Needs Python and no package.
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
"""The regions' present roots: not those that expired with 2024, and not RDS's previews."""


def authorities(bundle: str) -> dict[str, str]:
    """The certificates of RDS's present roots in a bundle, by name.

    Raises:
        ValueError: it has none, and so is no bundle of RDS's.
    """
    named = {_name(certificate): certificate for certificate in _CERTIFICATE.findall(bundle)}
    wanted = {name: certificate for name, certificate in sorted(named.items()) if _WANTED.fullmatch(name)}
    if not wanted:
        raise ValueError("This holds no certificate of an Amazon RDS root.")
    return wanted


def foreign(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """The names of those of ours that are not among theirs, to the last byte."""
    return [name for name, certificate in ours.items() if _bytes(certificate) != _bytes(theirs.get(name, ""))]


def written(roots: dict[str, str]) -> str:
    """The text of a bundle; what stands between certificates is for readers."""
    return "".join(f"# {name}\n{certificate}\n" for name, certificate in roots.items())


def main(arguments: Sequence[str]) -> int:
    """Compare or write; the exit status."""
    parser = argparse.ArgumentParser(description="Compare the authorities of RDS that the image trusts with AWS's.")
    parser.add_argument("--write", action="store_true", help="replace ours by AWS's")
    parser.add_argument("--published", default=PUBLISHED, metavar="URL", help="where AWS's are")
    parser.add_argument("--ours", default=OURS, type=Path, metavar="FILE", help="where ours are")
    asked = parser.parse_args(arguments)
    with urlopen(asked.published, timeout=30) as answer:  # noqa: S310 - the caller's own
        theirs = authorities(answer.read().decode("ascii"))
    if asked.write:
        asked.ours.write_text(written(theirs))
    ours = authorities(asked.ours.read_text())
    lacking = sorted(theirs.keys() - ours.keys())
    unknown = foreign(ours, theirs)
    say = sys.stdout.write
    say(f"{len(ours)} authorities are trusted, and {len(theirs)} published.\n")
    say("".join(f"Published, but not trusted: {name}\n" for name in lacking))
    say("".join(f"TRUSTED, BUT NOT PUBLISHED: {name}\n" for name in unknown))
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
