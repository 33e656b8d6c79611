"""What runs once the dev environment is applied, and what watches it, asked of AWS itself and not of Terraform."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from terraform.tests.conftest import IMAGE, Deployed
from terraform.tests.emulator import ACCOUNT, REGION

ROLES = f"arn:aws:iam::{ACCOUNT}:role/totes-dev"

SERVICES = ("webserver", "daemon", "code-server", "scheduler")

OF_DATABASES = ("storage-low", "cpu-high", "connections-high", "memory-low", "credits-used-up")
"""Alarms of each database server, of a burstable class."""


class TestDagster:
    @pytest.fixture
    def services(self, deployed: Deployed, ask: Any) -> dict[str, dict[str, Any]]:
        names = deployed.outputs["service_names"]
        found = ask("ecs").describe_services(cluster=deployed.outputs["cluster"], services=names)["services"]
        return {service["serviceName"]: service for service in found}

    # How they are deployed, the emulator does not keep: that is in the tests of the module `dagster`.
    def test_each_service_runs_once_in_the_private_network(
        self, services: dict[str, dict[str, Any]], deployed: Deployed
    ) -> None:
        names = ("webserver", "daemon", "code-server", "scheduler")
        assert services.keys() == {f"totes-dev-{name}" for name in names}
        for service in services.values():
            assert service["desiredCount"] == 1
            network = service["networkConfiguration"]["awsvpcConfiguration"]
            assert network["assignPublicIp"] == "DISABLED"
            assert set(network["subnets"]) == set(deployed.outputs["private_subnet_ids"])

    @pytest.mark.parametrize("task", ["webserver", "daemon", "code-server", "run", "provision"])
    def test_a_container_is_closed_and_its_secrets_come_from_outside(
        self, task: str, deployed: Deployed, ask: Any, secrets_with_values: Callable[[], list[dict[str, Any]]]
    ) -> None:
        definition = ask("ecs").describe_task_definition(taskDefinition=f"totes-dev-{task}")["taskDefinition"]
        assert definition["taskRoleArn"] == f"{ROLES}/totes-dev-{task}"
        (container,) = definition["containerDefinitions"]
        assert container["name"] == task
        assert container["image"] == IMAGE
        assert container["user"] == "10001:10001"
        assert container["readonlyRootFilesystem"] is (task != "webserver")
        assert container["logConfiguration"]["options"]["awslogs-group"] == f"/totes-dev/{task}"
        assert [secret["name"] for secret in container["secrets"]] == ["DAGSTER_POSTGRES_PASSWORD"]
        values = [entry["value"] for entry in container["environment"]]
        for value in secrets_with_values():
            assert value.get("password") not in values

    def test_only_who_launches_runs_knows_how(self, deployed: Deployed, ask: Any) -> None:
        knows = {}
        for task in ("webserver", "daemon", "code-server", "run"):
            found = ask("ecs").describe_task_definition(taskDefinition=f"totes-dev-{task}")["taskDefinition"]
            environment = {entry["name"]: entry["value"] for entry in found["containerDefinitions"][0]["environment"]}
            knows[task] = environment.get("DAGSTER_RUN_TASK_DEFINITION")
        run = deployed.outputs["run_task_definition"]
        assert knows == {"webserver": run, "daemon": run, "code-server": None, "run": None}


class TestObservability:
    def test_all_alarms_tell_the_topic(self, deployed: Deployed, ask: Any) -> None:
        alarms = {found["AlarmName"]: found for found in ask("cloudwatch").describe_alarms()["MetricAlarms"]}
        # Of the one, the mail comes from a rule; the other only takes workers away.
        shown_only = {"totes-dev-task-failed", "totes-dev-workers-idle"}
        assert alarms.keys() - shown_only == {
            *(f"totes-dev-{what}" for what in ("refresh-missing", "refresh-late", "run-failed", "automation-silent")),
            *(f"totes-dev-{service}-{what}" for service in SERVICES for what in ("down", "memory-high", "cpu-high")),
            *(f"totes-dev-{role}-{what}" for role in ("warehouse", "storage") for what in OF_DATABASES),
            *(f"totes-dev-exchange-rates-{what}" for what in ("failed", "missing")),
            "totes-dev-task-failed-untold",
            "totes-dev-copy-failed",
        }
        for name in alarms.keys() - shown_only:
            assert alarms[name]["AlarmActions"] == [deployed.outputs["alert_topic_arn"]], name

    def test_silence_is_breaching(self, deployed: Deployed, ask: Any) -> None:
        (missing,) = ask("cloudwatch").describe_alarms(AlarmNames=["totes-dev-refresh-missing"])["MetricAlarms"]
        assert missing["TreatMissingData"] == "breaching"
        assert missing["Period"] * missing["EvaluationPeriods"] == 30 * 60
        assert (missing["Statistic"], missing["ComparisonOperator"], missing["Threshold"]) == (
            *("Sum", "LessThanThreshold"),
            1,
        )
        for service in ("webserver", "daemon", "code-server"):
            (down,) = ask("cloudwatch").describe_alarms(AlarmNames=[f"totes-dev-{service}-down"])["MetricAlarms"]
            assert down["TreatMissingData"] == "breaching"
            dimensions = {found["Name"]: found["Value"] for found in down["Dimensions"]}
            assert dimensions == {"ClusterName": "totes-dev", "ServiceName": f"totes-dev-{service}"}

    def test_services_may_publish_to_the_encrypted_topic(self, deployed: Deployed, ask: Any) -> None:
        topic = ask("sns").get_topic_attributes(TopicArn=deployed.outputs["alert_topic_arn"])["Attributes"]
        publishers = principals(topic["Policy"], "sns:Publish")
        key = topic["KmsMasterKeyId"]
        policy = ask("kms").get_key_policy(KeyId=key.rpartition("/")[2], PolicyName="default")["Policy"]
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            assert {"cloudwatch.amazonaws.com", "events.amazonaws.com"} <= principals(policy, action)
        assert publishers == {"cloudwatch.amazonaws.com", "events.amazonaws.com"}

    def test_who_is_on_call_gets_mail(self, deployed: Deployed, ask: Any) -> None:
        found = ask("sns").list_subscriptions_by_topic(TopicArn=deployed.outputs["alert_topic_arn"])["Subscriptions"]
        assert {(one["Protocol"], one["Endpoint"]) for one in found} == {
            ("email", "oncall@example.com"),
            ("sqs", f"arn:aws:sqs:{REGION}:{ACCOUNT}:incidents"),
        }

    def test_a_budget_is_the_environments_and_told_by_mail(self, deployed: Deployed, ask: Any) -> None:
        named = {"AccountId": ACCOUNT, "BudgetName": "totes-dev"}
        budget = ask("budgets").describe_budget(**named)["Budget"]
        assert (budget["BudgetLimit"], budget["TimeUnit"]) == ({"Amount": "250", "Unit": "USD"}, "MONTHLY")
        assert budget["CostFilters"] == {"TagKeyValue": ["user:Environment$dev"]}
        notifications = ask("budgets").describe_notifications_for_budget(**named)["Notifications"]
        assert {(one["NotificationType"], one["Threshold"]) for one in notifications} == {
            ("FORECASTED", 80),
            ("ACTUAL", 100),
        }
        for one in notifications:
            told = ask("budgets").describe_subscribers_for_notification(**named, Notification=one)["Subscribers"]
            assert told == [{"SubscriptionType": "EMAIL", "Address": "oncall@example.com"}]

    def test_tasks_that_fail_are_told_of(self, deployed: Deployed, ask: Any) -> None:
        rule = ask("events").describe_rule(Name="totes-dev-task-failed")
        pattern = json.loads(rule["EventPattern"])
        assert pattern["detail"]["lastStatus"] == ["STOPPED"]
        cases = json.dumps(pattern["detail"]["$or"])
        assert all(case in cases for case in ("TaskFailedToStart", "OutOfMemory", "exitCode"))
        (target,) = ask("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
        assert target["Arn"] == deployed.outputs["alert_topic_arn"]

    def test_logs_are_kept_for_a_while_and_encrypted(self, deployed: Deployed, ask: Any) -> None:
        pages = ask("logs").get_paginator("describe_log_groups").paginate()
        groups = {group["logGroupName"]: group for page in pages for group in page["logGroups"]}
        assert set(deployed.outputs["log_group_names"].values()) <= groups.keys()
        for group in groups.values():
            assert group["retentionInDays"] == 14
            assert group["kmsKeyId"].startswith("arn:aws:kms:")

    def test_the_dashboard_and_the_alarms_show_metrics_that_the_platform_emits(
        self, deployed: Deployed, ask: Any
    ) -> None:
        from totes_dagster.aws.metrics import Metric

        emitted = {metric.value for metric in Metric}
        body = json.loads(ask("cloudwatch").get_dashboard(DashboardName="totes-dev")["DashboardBody"])
        shown = {
            line[1]
            for widget in body["widgets"]
            for line in widget["properties"].get("metrics", [])
            if line[0] == "totes-dev"
        }
        alarmed = {
            alarm["MetricName"]
            for alarm in ask("cloudwatch").describe_alarms()["MetricAlarms"]
            if alarm["Namespace"] == "totes-dev"
        }
        assert shown == emitted
        assert alarmed <= emitted


def principals(policy: str, action: str) -> set[str]:
    """The services that a policy allows an action."""
    return {
        statement["Principal"]["Service"]
        for statement in json.loads(policy)["Statement"]
        if statement["Effect"] == "Allow"
        and action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
        and "Service" in statement["Principal"]
    }
