"""Where alerts go: an SNS topic or, where none is named, the log."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from dagster import ConfigurableResource
from pydantic import Field

from totes_dagster.aws import sessions as aws
from totes_dagster.config import settings
from totes_dagster.errors import AlertAccessDeniedError, AlertError, CredentialsMissingError, TopicMissingError

logger = logging.getLogger(__name__)

DEFAULT_UI_URL = "http://127.0.0.1:3000"

SUBJECT_LIMIT = 99
"""SNS takes subjects of less than 100 characters, without line breaks."""

_TEXT_LIMIT = 200_000
"""Bytes. SNS takes 256 KiB, attributes and all."""

_MISSING = {"NotFound", "NotFoundException"}
_DENIED = aws.DENIED | {"AuthorizationError", "AuthorizationErrorException"}


@dataclass(frozen=True)
class Message:
    """What is published.

    Attributes:
        subject: printable ASCII, at most `SUBJECT_LIMIT` characters.
        text: any length; what SNS would not take is cut off.
        attributes: by which subscribers can choose.
    """

    subject: str
    text: str
    attributes: Mapping[str, str]


class Alerts(ConfigurableResource):  # type: ignore[type-arg]
    """Publishes alerts to an SNS topic or, without one, writes them to the log."""

    topic: str = Field(default="", description="ARN of the SNS topic; empty to write alerts to the log.")
    ui_url: str = Field(default=DEFAULT_UI_URL, description="Address of Dagster's UI, for links.")

    @property
    def link_to(self) -> str:
        """What links begin with.

        Raises:
            SettingsError: the UI's address is none.
        """
        return settings.ui_address(self.ui_url)

    def check(self) -> None:
        """See that alerts could be published, as far as that can be told from here.

        Raises:
            SettingsError: the topic's ARN or the UI's address is none.
        """
        settings.ui_address(self.ui_url)
        if self.topic:
            settings.topic_region(self.topic)

    def publish(self, message: Message) -> None:
        """Publish a message. It takes some seconds at most, whatever is the matter with SNS or the way to it.

        Raises:
            SettingsError: the topic's ARN is none.
            AlertError: SNS cannot be reached, or refuses the message. It may have taken it all the same, if the answer
                is what got lost.
            CredentialsMissingError: there are no AWS credentials.
        """
        if self.topic:
            self._publish(message, settings.topic_region(self.topic))
        else:
            # A recovery as loud as a failure: without handlers, Python shows nothing below a warning.
            logger.warning("%s\n%s", message.subject, message.text)

    def _publish(self, message: Message, region: str) -> None:
        # Slow to import, and needed only where there is a topic.
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

        config = Config(connect_timeout=2, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2})
        try:
            aws.new_session(region).client("sns", config=config).publish(
                TopicArn=self.topic,
                Subject=message.subject,
                Message=_sendable(message.text),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
                },
            )
        except ClientError as error:
            raise _refusal(self.topic, *aws.refusal(error)) from None
        except NoCredentialsError as error:
            raise CredentialsMissingError(
                f"Alerts cannot be published to {self.topic} without AWS credentials. Set AWS_PROFILE or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role."
            ) from error
        # The latter two of an endpoint that is none, and of a source that hands out credentials that have expired.
        except (BotoCoreError, ValueError, RuntimeError) as error:
            raise AlertError(
                f"Alerts cannot be published to {self.topic}: {aws.failure(error)} Check AWS_ENDPOINT_URL and the "
                "network."
            ) from None


def _sendable(text: str) -> str:
    """A text as SNS takes it: without control characters, and not too long."""
    clean = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    encoded = clean.encode()
    return clean if len(encoded) <= _TEXT_LIMIT else f"{encoded[:_TEXT_LIMIT].decode(errors='ignore')}…"


def _refusal(topic: str, code: str, reason: str) -> AlertError:
    """Name a refusal by SNS."""
    could_not = f"Alerts cannot be published to {topic}: {reason}"
    if code in _MISSING:
        return TopicMissingError(f"{could_not} Check the ARN in {settings.ALERT_TOPIC}, or create the topic.")
    if code in _DENIED:
        return AlertAccessDeniedError(f"{could_not} Allow sns:Publish on the topic.")
    if code.startswith("KMS"):
        return AlertAccessDeniedError(f"{could_not} Allow kms:GenerateDataKey and kms:Decrypt with the topic's key.")
    if code in aws.BAD_CREDENTIALS:
        return AlertAccessDeniedError(f"{could_not} Renew the AWS credentials, or choose others by AWS_PROFILE.")
    return AlertError(could_not)
