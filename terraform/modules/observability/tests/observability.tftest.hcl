# What is told, to whom, and that it can be.

mock_provider "aws" {
  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
  }
  override_data {
    target = data.aws_region.current
    values = { name = "eu-west-2" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-2:123456789012:totes-test-alerts" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
}

variables {
  name          = "totes-test"
  kms_key_arn   = "arn:aws:kms:eu-west-2:123456789012:key/11111111-1111-1111-1111-111111111111"
  alert_emails  = ["oncall@example.com"]
  cluster_name  = "totes-test"
  cluster_arn   = "arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test"
  service_names = { webserver = "totes-test-webserver", daemon = "totes-test-daemon", code-server = "totes-test-code-server" }
  databases     = { warehouse = { identifier = "totes-test-warehouse", instance_class = "db.r7g.2xlarge" }, storage = { identifier = "totes-test-dagster", instance_class = "db.t4g.micro", free_storage_gib = 2 } }
}

run "silence_is_the_worst" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.platform["refresh-missing"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.platform["refresh-missing"].period * aws_cloudwatch_metric_alarm.platform["refresh-missing"].evaluation_periods == 1800
    error_message = "No refresh for half an hour alarms, also when nothing is heard at all."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.service : alarm.treat_missing_data == "breaching"]) && length(aws_cloudwatch_metric_alarm.service) == 3
    error_message = "A service that does not run measures nothing."
  }
}

run "every_alarm_says_what_to_do_and_tells_the_topic" {
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.platform), values(aws_cloudwatch_metric_alarm.service), values(aws_cloudwatch_metric_alarm.load), values(aws_cloudwatch_metric_alarm.database)) :
      alarm.alarm_actions == toset([aws_sns_topic.alerts.arn]) && length(alarm.alarm_description) > 60
    ])
    error_message = "An alarm goes to the topic, and says what to do."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["storage-storage-low"].threshold == 2 * 1024 * 1024 * 1024
    error_message = "Free storage is in bytes."
  }
}

run "thresholds_go_by_the_class_of_the_server" {
  assert {
    condition     = local.memory_gib == { warehouse = 64, storage = 1 }
    error_message = "A 2xlarge of r7g has 64 GiB, a micro of t4g has one."
  }

  assert {
    condition = { for key, alarm in aws_cloudwatch_metric_alarm.database : key => alarm.threshold if endswith(key, "-connections-high") } == {
      warehouse-connections-high = 3000 # RDS allows 5,000 at most
      storage-connections-high   = 67   # of 112 by all of its memory, of which some is the server's own
    }
    error_message = "The alarm comes before all connections are in use."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["storage-memory-low"].threshold == floor(1024 * 1024 * 1024 / 20)
    error_message = "Memory is in bytes."
  }

  assert {
    condition     = [for key in keys(aws_cloudwatch_metric_alarm.database) : key if endswith(key, "-credits-used-up")] == ["storage-credits-used-up"]
    error_message = "Only burstable classes have credits."
  }
}

run "a_class_whose_memory_is_not_known_has_the_other_alarms" {
  variables {
    databases = { warehouse = { identifier = "totes-test-warehouse", instance_class = "db.x2g.large" } }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.database)) == toset(["warehouse-storage-low", "warehouse-cpu-high"])
    error_message = "There is an alarm with a threshold that was made up."
  }
}

run "services_that_use_all_they_have_are_told_of" {
  assert {
    condition = { for key, alarm in aws_cloudwatch_metric_alarm.load : key => "${alarm.metric_name} ${alarm.period * alarm.evaluation_periods / 60}" } == {
      webserver-memory-high   = "MemoryUtilization 15", webserver-cpu-high = "CPUUtilization 30"
      daemon-memory-high      = "MemoryUtilization 15", daemon-cpu-high = "CPUUtilization 30"
      code-server-memory-high = "MemoryUtilization 15", code-server-cpu-high = "CPUUtilization 30"
    }
    error_message = "Each service that always runs has an alarm on its memory and on its CPU."
  }
}

run "without_a_limit_there_is_no_budget" {
  assert {
    condition     = length(aws_budgets_budget.this) == 0
    error_message = "A budget is a choice."
  }
}

run "a_budget_is_the_environments_and_is_told_by_mail" {
  variables {
    monthly_budget = 250
  }

  assert {
    condition     = aws_budgets_budget.this[0].limit_amount == "250" && aws_budgets_budget.this[0].limit_unit == "USD" && aws_budgets_budget.this[0].time_unit == "MONTHLY"
    error_message = "It is in dollars, a month."
  }

  assert {
    condition     = [for filter in aws_budgets_budget.this[0].cost_filter : "${filter.name} ${join("", filter.values)}"] == [join("$", ["TagKeyValue user:Environment", "test"])]
    error_message = "Only what has the environment's tag counts."
  }

  assert {
    condition = toset([for told in aws_budgets_budget.this[0].notification : "${told.notification_type} ${told.threshold} ${join("", told.subscriber_email_addresses)}"]) == toset([
      "FORECASTED 80 oncall@example.com", "ACTUAL 100 oncall@example.com",
    ])
    error_message = "Who gets alerts is told of 80 % forecast, and of all that is spent."
  }
}

run "a_budget_can_be_for_the_whole_account" {
  variables {
    monthly_budget    = 250
    budget_of_account = true
  }

  assert {
    condition     = length(aws_budgets_budget.this[0].cost_filter) == 0
    error_message = "Nothing is left out."
  }
}

run "a_budget_that_nobody_hears_of_is_refused" {
  command = plan

  variables {
    monthly_budget = 250
    alert_emails   = []
  }

  expect_failures = [var.monthly_budget]
}

run "the_topic_is_encrypted_and_can_be_published_to" {
  assert {
    condition     = aws_sns_topic.alerts.kms_master_key_id == module.key.arn
    error_message = "The topic is encrypted with a key of its own."
  }

  assert {
    condition     = toset(flatten([for statement in data.aws_iam_policy_document.topic.statement : [for principal in statement.principals : tolist(principal.identifiers)] if statement.effect != "Deny"])) == toset(["cloudwatch.amazonaws.com", "events.amazonaws.com"])
    error_message = "CloudWatch and EventBridge may publish."
  }
}

run "who_publishes_may_use_the_key_for_this_topic_alone" {
  assert {
    condition = alltrue([
      for sid, service in local.publishers : [for condition in service.conditions : "${condition.test} ${condition.variable} ${one(condition.values)}"] == [
        "StringEquals kms:EncryptionContext:aws:sns:topicArn arn:aws:sns:eu-west-2:123456789012:totes-test-alerts"
      ]
    ])
    error_message = "The key is for what SNS encrypts of this topic."
  }

  assert {
    condition     = aws_sns_topic.alerts.name == "totes-test-alerts"
    error_message = "The condition names the topic as it is named."
  }
}

run "tasks_that_fail_in_any_way_match" {
  assert {
    condition     = length(jsondecode(aws_cloudwatch_event_rule.task_failed.event_pattern).detail["$or"]) == 3 && jsondecode(aws_cloudwatch_event_rule.task_failed.event_pattern).detail.clusterArn == ["arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test"]
    error_message = "Of this cluster: those that never started, that ended with an error, that ran out of memory."
  }
}

run "workers_on_spot_may_be_taken_back_and_have_to_wait" {
  assert {
    condition     = !strcontains(aws_cloudwatch_event_rule.task_failed.event_pattern, "SpotInterruption")
    error_message = "Who is on call is told of what happens to workers every day."
  }

  assert {
    condition = { for case in jsondecode(aws_cloudwatch_event_rule.service_impaired.event_pattern)["$or"] : join(" ", case.detail.eventName) => case.resources } == {
      "SERVICE_TASK_START_IMPAIRED SERVICE_DEPLOYMENT_FAILED" = [{ prefix = "arn:aws:ecs:eu-west-2:123456789012:service/totes-test/" }]
      "SERVICE_TASK_PLACEMENT_FAILURE"                        = [for service in values(var.service_names) : "arn:aws:ecs:eu-west-2:123456789012:service/totes-test/${service}"]
    }
    error_message = "Only services that always run alarm when they find no place."
  }
}

run "backups_that_fail_are_told_of" {
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.backup_failed.event_pattern).detail == { backupVaultName = ["totes-test"], state = ["ABORTED", "EXPIRED", "FAILED", "PARTIAL"] }
    error_message = "Of this environment's vault, whatever does not succeed."
  }

  assert {
    condition     = aws_cloudwatch_event_target.backup_failed.arn == aws_sns_topic.alerts.arn
    error_message = "It goes to the topic."
  }
}

run "copies_that_fail_are_told_of" {
  variables {
    replication = { source_bucket = "totes-test-ingestion-123456789012", destination_bucket = "example-copy" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.replication[0].dimensions == tomap({ SourceBucket = "totes-test-ingestion-123456789012", DestinationBucket = "example-copy", RuleId = "everything" }) && aws_cloudwatch_metric_alarm.replication[0].alarm_actions == toset([aws_sns_topic.alerts.arn])
    error_message = "The rule that copies is watched."
  }
}

run "exchange_rates_that_are_not_fetched_are_told_of" {
  variables {
    exchange_rates_function = "totes-test-exchange-rates"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.exchange_rates["failed"].metric_name == "Errors" && aws_cloudwatch_metric_alarm.exchange_rates["failed"].treat_missing_data == "ignore"
    error_message = "An error alarms until the function succeeds."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.exchange_rates["missing"].treat_missing_data == "breaching" &&
      aws_cloudwatch_metric_alarm.exchange_rates["missing"].period * aws_cloudwatch_metric_alarm.exchange_rates["missing"].evaluation_periods > 72 * 3600 &&
      aws_cloudwatch_metric_alarm.exchange_rates["missing"].period * aws_cloudwatch_metric_alarm.exchange_rates["missing"].evaluation_periods <= 7 * 24 * 3600
    )
    error_message = "Silence alarms, but not over a weekend; CloudWatch looks back seven days at most."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.exchange_rates : alarm.alarm_actions == toset([aws_sns_topic.alerts.arn]) && alarm.dimensions == tomap({ FunctionName = "totes-test-exchange-rates" })])
    error_message = "They go to the topic."
  }
}

run "without_the_function_nothing_watches_it" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.exchange_rates) == 0
    error_message = "There is an alarm that nothing could ever end."
  }
}

run "a_paused_environment_disturbs_nobody" {
  variables {
    paused = true
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.service) + length(aws_cloudwatch_metric_alarm.load) == 0 && !anytrue([for alarm in aws_cloudwatch_metric_alarm.platform : alarm.actions_enabled])
    error_message = "Nobody is told that it does nothing."
  }
}

run "queues_functions_and_addresses_can_subscribe" {
  variables {
    alert_subscriptions = [
      { protocol = "sqs", endpoint = "arn:aws:sqs:eu-west-2:123456789012:incidents" },
      { protocol = "lambda", endpoint = "arn:aws:lambda:eu-west-2:123456789012:function:incidents" },
      { protocol = "https", endpoint = "https://incidents.example.com/sns" },
    ]
  }

  assert {
    condition     = toset([for subscription in aws_sns_topic_subscription.other : "${subscription.protocol} ${subscription.topic_arn}"]) == toset([for protocol in ["sqs", "lambda", "https"] : "${protocol} ${aws_sns_topic.alerts.arn}"])
    error_message = "All of them get what the topic gets."
  }
}

run "an_address_without_tls_is_refused" {
  command = plan

  variables {
    alert_subscriptions = [{ protocol = "http", endpoint = "http://incidents.example.com/sns" }]
  }

  expect_failures = [var.alert_subscriptions]
}

run "an_address_of_another_protocol_is_refused" {
  command = plan

  variables {
    alert_subscriptions = [{ protocol = "sqs", endpoint = "https://sqs.eu-west-2.amazonaws.com/123456789012/incidents" }]
  }

  expect_failures = [var.alert_subscriptions]
}

run "an_address_with_a_key_in_it_is_refused" {
  command = plan

  variables {
    alert_subscriptions = [{ protocol = "https", endpoint = "https://events.pagerduty.com/integration/0123456789abcdef/enqueue" }]
  }

  expect_failures = [var.alert_subscriptions]
}

run "an_address_that_is_none_is_refused" {
  command = plan

  variables {
    alert_emails = ["oncall"]
  }

  expect_failures = [var.alert_emails]
}

run "a_retention_that_cloudwatch_does_not_have_is_refused" {
  command = plan

  variables {
    log_retention_days = 15
  }

  expect_failures = [var.log_retention_days]
}
