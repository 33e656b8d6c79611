"""An SNS topic with a queue that is subscribed to it, on a real server: what arrives is what subscribers get."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3


@dataclass(frozen=True)
class Arrived:
    """A message as it arrived."""

    subject: str
    text: str
    attributes: Mapping[str, str]


class Mailbox:
    """A new topic, and everything that is published to it."""

    def __init__(self, name: str, endpoint: str, region: str = "eu-west-2") -> None:
        here: dict[str, Any] = {"endpoint_url": endpoint, "region_name": region}
        self._sqs = boto3.client("sqs", **here)
        self._sns = boto3.client("sns", **here)
        self.topic: str = self._sns.create_topic(Name=name)["TopicArn"]
        self._queue: str = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self._subscription = self._sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]

    def choose(self, policy: Mapping[str, list[str]]) -> None:
        """Let only those messages arrive that have these attributes."""
        self._sns.set_subscription_attributes(
            SubscriptionArn=self._subscription, AttributeName="FilterPolicy", AttributeValue=json.dumps(policy)
        )

    def arrived(self) -> list[Arrived]:
        """What arrived since the last time, in the order in which it was published."""
        found: list[Arrived] = []
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=1)
            if not answer.get("Messages"):
                return found
            (message,) = answer["Messages"]
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
            body = json.loads(message["Body"])
            attributes = {name: value["Value"] for name, value in body["MessageAttributes"].items()}
            found.append(Arrived(body["Subject"], body["Message"], attributes))

    def told(self) -> list[str]:
        """What arrived since the last time, in short."""
        return [f"{arrived.attributes['subject']} {arrived.attributes['state']}" for arrived in self.arrived()]
