"""Servers that keep clients from their work, and repeat to them what they should better keep to themselves."""

import html
import json
import socket
import threading
from contextlib import suppress

from totes_dagster_tests.s3_front import Answer, PassOn, Request, refusal
from totes_dagster_tests.wires import Serve

_UNTIL = 20_000
"""Bytes of answers; more than a login takes, and less than a refresh."""


def breaking_off(port: int) -> Serve:
    """A wire to another port of this machine that breaks after some answers."""

    def serve(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=_pass_on, args=(connection, server), daemon=True).start()
            answered = 0
            while answered < _UNTIL and (data := server.recv(4096)):
                connection.sendall(data)
                answered += len(data)

    return serve


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)


def refuse_loudly(request: Request, _: PassOn) -> Answer:
    """Refuse as AWS does, with the token in the answer: S3 names it, Secrets Manager quotes the signed request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    token = headers["x-amz-security-token"]
    if "x-amz-target" in headers:
        signed = f"The Canonical String for this request should have been 'POST\n/\n\nx-amz-security-token:{token}\n'"
        said = {"__type": "InvalidSignatureException", "message": f"The signature does not match. {signed}"}
        return Answer(400, json.dumps(said).encode(), {"content-type": "application/x-amz-json-1.1"})
    return refusal(403, "InvalidToken", "The provided token is malformed.", f"<Token-0>{html.escape(token)}</Token-0>")
