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

  database_alarms = merge([
    for role, server in var.databases : {
      "${role}-storage-low" = {
        description = "The ${role} database has little storage left, although RDS extends it by itself. Raise max_allocated_storage, or find what fills it."
        server      = server.identifier
        metric      = "FreeStorageSpace"
        comparison  = "LessThanThreshold"
        threshold   = server.free_storage_gib * 1024 * 1024 * 1024
        periods     = 1
      }
      "${role}-cpu-high" = {
        description = "The ${role} database has been busy for 15 minutes: queries wait. See what it does in Performance Insights, or choose a larger instance_class."
        server      = server.identifier
        metric      = "CPUUtilization"
        comparison  = "GreaterThanThreshold"
        threshold   = 90
        periods     = 3
      }
    }
  ]...)
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

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each = local.database_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = each.value.server }
  statistic           = "Average"
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 300
  evaluation_periods  = each.value.periods
  treat_missing_data  = "missing"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}
