"""Where alerts go: an SNS topic or, if none is configured, the log.

What an alert says, and when it is published, is decided in `orchestration/alerts/`.
"""

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
"""SNS accepts subjects of less than 100 characters, without line breaks."""

_TEXT_LIMIT = 200_000
"""Bytes. SNS accepts 256 KiB, attributes included."""

_MISSING = {"NotFound", "NotFoundException"}
_DENIED = aws.DENIED | {"AuthorizationError", "AuthorizationErrorException"}


@dataclass(frozen=True)
class Message:
    """A message to publish.

    Attributes:
        subject: printable ASCII, at most `SUBJECT_LIMIT` characters.
        text: text of any length; what exceeds SNS's limit is cut off.
        attributes: attributes by which subscriptions can filter.
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
        """The URL that links begin with.

        Raises:
            SettingsError: the UI's address is not a valid URL.
        """
        return settings.ui_address(self.ui_url)

    def check(self) -> None:
        """Check the settings, without connecting to SNS.

        Raises:
            SettingsError: the topic's ARN or the UI's address is not valid.
        """
        settings.ui_address(self.ui_url)
        if self.topic:
            settings.topic_region(self.topic)

    def publish(self, message: Message) -> None:
        """Publish a message. It takes a few seconds at most, whatever is wrong with SNS or the network.

        Raises:
            SettingsError: the topic's ARN is not valid.
            AlertError: SNS cannot be reached, or refuses the message. If only its answer was lost, the message may
                have been published.
            CredentialsMissingError: there are no AWS credentials.
        """
        if self.topic:
            self._publish(message, settings.topic_region(self.topic))
        else:
            # A warning also for recoveries: without handlers, Python shows nothing below that level.
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
        # ValueError: the endpoint is not a valid URL. RuntimeError: a credential source returned expired credentials.
        except (BotoCoreError, ValueError, RuntimeError) as error:
            raise AlertError(
                f"Alerts cannot be published to {self.topic}: {aws.failure(error)} Check AWS_ENDPOINT_URL and the "
                "network."
            ) from None


def _sendable(text: str) -> str:
    """A text that SNS accepts: without control characters, and not too long."""
    clean = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    encoded = clean.encode()
    return clean if len(encoded) <= _TEXT_LIMIT else f"{encoded[:_TEXT_LIMIT].decode(errors='ignore')}…"


def _refusal(topic: str, code: str, reason: str) -> AlertError:
    """The named error for a refusal by SNS."""
    message = f"Alerts cannot be published to {topic}: {reason}"
    if code in _MISSING:
        return TopicMissingError(f"{message} Check the ARN in {settings.ALERT_TOPIC}, or create the topic.")
    if code in _DENIED:
        return AlertAccessDeniedError(f"{message} Allow sns:Publish on the topic.")
    if code.startswith("KMS"):
        return AlertAccessDeniedError(f"{message} Allow kms:GenerateDataKey and kms:Decrypt with the topic's key.")
    if code in aws.BAD_CREDENTIALS:
        return AlertAccessDeniedError(f"{message} Renew the AWS credentials, or choose others with AWS_PROFILE.")
    return AlertError(message)
