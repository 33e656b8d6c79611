"""What is published arrives, at a topic on a real server; what cannot be says why, and shows no secret."""

import logging

import pytest

from totes_dagster.errors import (
    AlertAccessDeniedError,
    AlertError,
    CredentialsMissingError,
    SettingsError,
    TopicMissingError,
    TotesError,
)
from totes_dagster.orchestration.resources.alerts import SUBJECT_LIMIT, Alerts, Message
from totes_dagster_tests.exposure import assert_clear
from totes_dagster_tests.integration.mailbox import Arrived, Mailbox
from totes_dagster_tests.s3_front import Answer, Request, in_front_of
from totes_dagster_tests.settings import without_credentials

TOKEN = "FwoGZXIvYXdzEBYaDKq/N0t+Sh0wn=="
PASSWORD = "p@ss/w0rd"
MESSAGE = Message("totes: refresh failed", "What:  refresh\nWhy:   Zoë\n", {"kind": "run", "state": "open"})
TOPIC = "arn:aws:sns:eu-west-2:123456789012:alerts"


def refused(topic: str, kind: type[TotesError], *words: str) -> None:
    with pytest.raises(TotesError) as raised:
        Alerts(topic=topic).publish(MESSAGE)
    error = assert_clear(raised.value, PASSWORD, TOKEN)
    assert type(error) is kind, error
    for word in words:
        assert word in str(error)


def xml(code: str, message: str) -> bytes:
    """A refusal as SNS words it."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return f'<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{error}</ErrorResponse>'.encode()


def test_a_message_arrives_as_it_is(mailbox: Mailbox) -> None:
    Alerts(topic=mailbox.topic).publish(MESSAGE)
    assert mailbox.arrived() == [Arrived(MESSAGE.subject, MESSAGE.text, MESSAGE.attributes)]


def test_subscribers_can_choose_by_attributes(mailbox: Mailbox) -> None:
    mailbox.choose({"state": ["open"]})
    for state in ("open", "recovered"):
        Alerts(topic=mailbox.topic).publish(Message("totes", state, {"kind": "run", "state": state}))
    assert [arrived.text for arrived in mailbox.arrived()] == ["open"]


def test_the_region_is_the_topics_own(bucket: str, object_store: str) -> None:
    mailbox = Mailbox("far-away", object_store, region="us-west-2")
    assert ":us-west-2:" in mailbox.topic
    Alerts(topic=mailbox.topic).publish(MESSAGE)
    assert len(mailbox.arrived()) == 1


def test_a_text_that_sns_would_not_take_is_made_to_fit(mailbox: Mailbox) -> None:
    attributes = {"kind": "run", "subject": "j" * 1000}
    Alerts(topic=mailbox.topic).publish(Message("s" * SUBJECT_LIMIT, "\x1b[31m\0\ud800€" + "€" * 300_000, attributes))
    (arrived,) = mailbox.arrived()
    assert arrived.text.startswith("?[31m??€€€")
    assert arrived.text.endswith("€…")
    assert 190_000 < len(arrived.text.encode()) < 256 * 1024


def test_without_a_topic_alerts_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Alerts().publish(MESSAGE)
    assert caplog.messages == [f"{MESSAGE.subject}\n{MESSAGE.text}"]


def test_a_topic_that_is_not_there_is_said(mailbox: Mailbox) -> None:
    refused(f"{mailbox.topic}x", TopicMissingError, f"{mailbox.topic}x: NotFound", "Check the ARN in TOTES_ALERT_TOPIC")


def test_a_topic_that_one_may_not_publish_to_is_said(mailbox: Mailbox, guarded: None) -> None:
    refused(mailbox.topic, AlertAccessDeniedError, "Allow sns:Publish on the topic.")


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        ("AuthorizationError", "User: arn:aws:iam::1:user/x is not authorized", "Allow sns:Publish on the topic."),
        ("KMSAccessDenied", "The ciphertext refers to a key", "Allow kms:GenerateDataKey and kms:Decrypt"),
        ("InvalidClientTokenId", "The security token included in the request is invalid.", "Renew the AWS credentials"),
        (
            "SignatureDoesNotMatch",
            f"It does not match. The Canonical String for this request should have been x-amz-security-token:{TOKEN}",
            "It does not match. Renew the AWS credentials",
        ),
    ],
)
def test_what_sns_says_is_passed_on_but_for_tokens(
    bucket: str, monkeypatch: pytest.MonkeyPatch, code: str, message: str, words: str
) -> None:
    with in_front_of("http://nowhere", lambda *_: Answer(403, xml(code, message))) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        refused(TOPIC, AlertAccessDeniedError, f"{code}: ", words)


def test_what_answers_without_being_sns_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_front_of("http://nowhere", lambda *_: Answer(404, b"<html>no such page</html>")) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        refused(TOPIC, AlertError, f"Alerts cannot be published to {TOPIC}: ")


def test_an_unreachable_sns_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_front_of("http://nowhere", lambda *_: Answer()) as endpoint:
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    refused(TOPIC, AlertError, "Could not connect to the endpoint URL", "Check AWS_ENDPOINT_URL and the network.")


def test_an_sns_that_does_not_answer_is_asked_twice_and_no_more(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def lose(request: Request, *_: object) -> Answer:
        asked.append(request)
        return Answer(lost=True)

    with in_front_of("http://nowhere", lose) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        refused(TOPIC, AlertError, "Connection was closed")
    assert len(asked) == 2


def test_an_endpoint_with_a_password_does_not_show_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:p%40ss%2Fw0rd@127.0.0.1:9")
    refused(TOPIC, AlertError)


def test_missing_credentials_are_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch)
    refused(TOPIC, CredentialsMissingError, "Set AWS_PROFILE or AWS_ACCESS_KEY_ID", "or give the task a role")


@pytest.mark.parametrize("topic", ["alerts", "arn:aws:sqs:eu-west-2:123456789012:alerts", f"{TOPIC} ", f"{TOPIC}:x"])
def test_what_is_no_topic_is_refused_before_anything_is_to_be_told(topic: str) -> None:
    with pytest.raises(SettingsError, match=r"TOTES_ALERT_TOPIC is .* That is not the ARN of an SNS topic"):
        Alerts(topic=topic).check()


def test_a_topic_that_sends_no_e_mail_is_refused() -> None:
    with pytest.raises(SettingsError, match="a FIFO topic cannot send e-mail"):
        Alerts(topic=f"{TOPIC}.fifo").check()


@pytest.mark.parametrize("topic", ["", TOPIC, "arn:aws-cn:sns:cn-north-1:123456789012:a", f"{TOPIC}_-9"])
def test_topics_of_any_partition_will_do_and_none_too(topic: str) -> None:
    Alerts(topic=topic).check()


@pytest.mark.parametrize(
    "url",
    ["", "dagster.example.com", "ftp://example.com", f"https://me:{PASSWORD}@example.com", "http://[1", "http://a b"],
)
def test_an_address_of_the_ui_that_is_none_or_holds_credentials_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"TOTES_UI_URL is .* Give the address of Dagster's UI") as raised:
        Alerts(ui_url=url).check()
    assert_clear(raised.value, PASSWORD)


def test_links_begin_with_the_address_of_the_ui() -> None:
    assert Alerts().link_to == "http://127.0.0.1:3000"
    assert Alerts(ui_url="https://dagster.example.com/prefix/").link_to == "https://dagster.example.com/prefix"
