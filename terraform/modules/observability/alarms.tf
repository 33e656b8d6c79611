# Alarms. Each says in its description what to do, for that is what the mail says. Names of metrics are those that the
# platform emits (totes_dagster/aws/metrics.py), and AWS's own.

locals {
  tell = [aws_sns_topic.alerts.arn]

  # Of the platform itself.
  platform_alarms = {
    refresh-missing = {
      description = "No refresh succeeded for 30 minutes: the warehouse grows old. Is the daemon running, do runs start, do they fail? See the dashboard, and Dagster's UI."
      metric      = "Refreshes"
      statistic   = "Sum"
      comparison  = "LessThanThreshold"
      threshold   = 1
      periods     = 6
      missing     = "breaching" # silence is the worst of it
    }
    refresh-late = {
      description = "The warehouse shows the source as it was more than 30 minutes ago, although it is refreshed: batches wait to be loaded. See the runs in Dagster's UI."
      metric      = "FreshnessLag"
      statistic   = "Maximum"
      comparison  = "GreaterThanThreshold"
      threshold   = 1800
      periods     = 1
      missing     = "notBreaching" # refresh-missing tells of that
    }
    run-failed = {
      description = "A run failed. The alert of the platform itself, to the same topic, says which and why."
      metric      = "FailedRuns"
      statistic   = "Sum"
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      periods     = 1
      missing     = "notBreaching"
    }
    automation-silent = {
      description = "The platform has not looked after itself for ten minutes: sensors are not evaluated. See whether the daemon and the code server are well, and restart them."
      metric      = "OpenIncidents"
      statistic   = "SampleCount"
      comparison  = "LessThanThreshold"
      threshold   = 1
      periods     = 2
      missing     = "breaching"
    }
  }

  # Of each service: ECS measures the CPU of tasks that run, once a minute, and nothing where none does.
  service_alarms = var.paused ? {} : var.service_names

  # How much of its own size each service uses. Workers are not among them: they are meant to be busy.
  load_alarms = merge([
    for key, service in local.service_alarms : {
      "${key}-memory-high" = {
        description = "A task of ${service} has used 90 % of its memory for 15 minutes. ECS ends it when there is none left. Set the variable sizes."
        service     = service
        metric      = "MemoryUtilization"
        statistic   = "Maximum"
        periods     = 3
      }
      "${key}-cpu-high" = {
        description = "${service} has been busy for half an hour, and answers slowly. If it is no large batch of warm runs, which ends, set the variable sizes."
        service     = service
        metric      = "CPUUtilization"
        statistic   = "Average"
        periods     = 6
      }
    }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "load" {
  for_each = local.load_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/ECS"
  metric_name         = each.value.metric
  dimensions          = { ClusterName = var.cluster_name, ServiceName = each.value.service }
  statistic           = each.value.statistic
  comparison_operator = "GreaterThanThreshold"
  threshold           = 90
  period              = 300
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching" # a service that does not run has an alarm of its own
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

locals {
  # Of the function that fetches exchange rates, which also works while the environment is paused.
  exchange_rates_alarms = var.exchange_rates_function == null ? {} : {
    failed = {
      description = "Exchange rates were not fetched. The log group /${var.name}/exchange-rates says why. The next time of the same day, or day, makes up for it, and then it is well again."
      metric      = "Errors"
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      period      = 300
      periods     = 1
      missing     = "ignore" # it stays as it is until the function runs again
    }
    missing = {
      description = "The function that fetches exchange rates was not invoked for 74 hours. See whether the schedule ${coalesce(var.exchange_rates_function, "-")} is enabled, and what its role may do."
      metric      = "Invocations"
      comparison  = "LessThanThreshold"
      threshold   = 1
      period      = 3600
      periods     = 74 # from Friday's second time to Monday's first are 70 hours, and 71 when clocks are put back
      missing     = "breaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "platform" {
  for_each = local.platform_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = var.name
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 300
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  actions_enabled     = !var.paused
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

resource "aws_cloudwatch_metric_alarm" "service" {
  for_each = local.service_alarms

  alarm_name          = "${var.name}-${each.key}-down"
  alarm_description   = "No task of ${each.value} has run for five minutes. See the service's events in ECS for why none starts, and the log group for what the last one said."
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = { ClusterName = var.cluster_name, ServiceName = each.value }
  statistic           = "SampleCount"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

resource "aws_cloudwatch_metric_alarm" "exchange_rates" {
  for_each = local.exchange_rates_alarms

  alarm_name          = "${var.name}-exchange-rates-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = var.exchange_rates_function }
  statistic           = "Sum"
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = local.tell
  ok_actions          = local.tell
}
