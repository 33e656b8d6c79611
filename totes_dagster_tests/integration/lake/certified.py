"""An authority of a test's own, and an S3 server that shows a certificate of it."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from totes_dagster_tests.wires import join, listening


@dataclass(frozen=True)
class Authority:
    """Issues certificates for a host.

    Attributes:
        file: its own certificate, to trust.
    """

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, folder: Path) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate("authority", key, "authority", key, authority=True)
        (folder / "authority.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, key, certificate)

    @property
    def file(self) -> Path:
        return self.folder / "authority.crt"

    def server(self, host: str, *, days: int = 1, authority: bool = False) -> ssl.SSLContext:
        """What a server needs to show a certificate for a host that is valid for so many days; none if negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(host, key, "authority", self.key, days=days, authority=authority)
        chain = self.folder / f"{host}.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context


@contextmanager
def with_tls(endpoint: str, certificate: ssl.SSLContext) -> Iterator[str]:
    """The same server by https, on this machine by the name of localhost, for as long as the block runs."""
    port = urlsplit(endpoint).port

    def serve(connection: socket.socket) -> None:
        join(certificate.wrap_socket(connection, server_side=True), socket.create_connection(("127.0.0.1", port)))

    with listening(serve) as there:
        yield f"https://localhost:{there.port}"


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuers_key: ec.EllipticCurvePrivateKey,
    *,
    days: int = 1,
    authority: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(issuers_key, hashes.SHA256())
    )
