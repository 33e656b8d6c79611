"""An S3 server on this machine, and buckets on it: fixtures of the tiers that need one."""

import itertools
import logging
import threading
import urllib.request
from collections.abc import Iterator

import boto3
import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

_buckets = itertools.count(1)


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The endpoint of an S3 server on this machine."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    _make_puts_atomic()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _make_puts_atomic() -> None:
    """Have moto look whether an object exists and create it in one step, as S3 does; its threads would race."""
    put, lock = S3Response.put_object, threading.Lock()

    def put_alone(response: S3Response) -> object:
        with lock:
            return put(response)

    S3Response.put_object = put_alone  # type: ignore[method-assign, assignment]


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, on the server that the environment now points the AWS SDKs to."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    name = f"totes-tests-{next(_buckets)}"
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    return name


@pytest.fixture
def guarded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that from now on looks at who asks; the environment is that of a user who may do nothing."""
    iam = boto3.client("iam")
    name = f"stranger-to-{bucket}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    _let_in_unseen(iam.meta.endpoint_url, b"0")
    yield
    _let_in_unseen(iam.meta.endpoint_url, b"inf")


def _let_in_unseen(endpoint: str, requests: bytes) -> None:
    """Set how many requests moto answers before it looks at who asks."""
    switch = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", requests, {"Content-Type": "text/plain"})
    urllib.request.urlopen(switch, timeout=10).close()
