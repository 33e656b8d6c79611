# One page that says how the platform is.

locals {
  stages = ["ingest", "remodel", "load"]

  widgets = [
    {
      title = "Freshness: how old the warehouse is (seconds)"
      metrics = [
        [var.name, "FreshnessLag", { stat = "Maximum", label = "lag" }],
      ]
      annotations = { horizontal = [{ label = "too old", value = 1800 }] }
    },
    {
      title = "Refreshes and failures"
      metrics = [
        [var.name, "Refreshes", { stat = "Sum", label = "refreshes" }],
        [var.name, "FailedRuns", { stat = "Sum", label = "failed runs" }],
        ["AWS/Events", "TriggeredRules", "RuleName", aws_cloudwatch_event_rule.task_failed.name, { stat = "Sum", label = "failed tasks" }],
      ]
    },
    {
      title   = "Rows by stage"
      metrics = [for stage in local.stages : [var.name, "Rows", "Stage", stage, { stat = "Sum", label = stage }]]
    },
    {
      title   = "Seconds by stage"
      metrics = [for stage in local.stages : [var.name, "Seconds", "Stage", stage, { stat = "Sum", label = stage }]]
    },
    {
      title   = "Rows in quarantine"
      metrics = [[var.name, "QuarantinedRows", { stat = "Maximum", label = "rows" }]]
    },
    {
      title   = "Open incidents"
      metrics = [[var.name, "OpenIncidents", { stat = "Maximum", label = "incidents" }]]
    },
    {
      title   = "Log that the source keeps for the platform, where that reads it (bytes)"
      metrics = [[var.name, "KeptLog", { stat = "Maximum", label = "log" }]]
    },
    {
      title   = "Memory of services (%)"
      metrics = [for key, service in var.service_names : ["AWS/ECS", "MemoryUtilization", "ClusterName", var.cluster_name, "ServiceName", service, { stat = "Maximum", label = key }]]
    },
    {
      title   = "CPU of databases (%)"
      metrics = [for role, server in var.databases : ["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", server.identifier, { stat = "Average", label = role }]]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 3
        properties = { title = "Alarms", alarms = local.alarm_arns }
      }],
      [for index, widget in local.widgets : {
        type   = "metric"
        x      = (index % 2) * 12
        y      = 3 + floor(index / 2) * 6
        width  = 12
        height = 6
        properties = merge(
          { view = "timeSeries", stacked = false, region = local.region, period = 300 },
          widget,
        )
      } if length(widget.metrics) > 0],
    )
  })
}

locals {
  alarm_arns = concat(
    values(aws_cloudwatch_metric_alarm.platform)[*].arn,
    values(aws_cloudwatch_metric_alarm.service)[*].arn,
    values(aws_cloudwatch_metric_alarm.load)[*].arn,
    values(aws_cloudwatch_metric_alarm.database)[*].arn,
    values(aws_cloudwatch_metric_alarm.exchange_rates)[*].arn,
    aws_cloudwatch_metric_alarm.replication[*].arn,
    [aws_cloudwatch_metric_alarm.task_failed.arn, aws_cloudwatch_metric_alarm.task_failed_untold.arn],
  )
}
