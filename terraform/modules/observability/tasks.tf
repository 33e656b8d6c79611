# Tasks that end as they should not. A run that fails in an orderly way is told by the platform itself; here are those
# that could not start, ran out of memory, or died.

resource "aws_cloudwatch_event_rule" "task_failed" {
  name        = "${var.name}-task-failed"
  description = "A task of ${var.name} never started, ran out of memory, or ended with an error."

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [var.cluster_arn]
      lastStatus = ["STOPPED"]
      # Not those that somebody stopped: a deployment, or whoever terminates a run. Their exit codes are no zeros either.
      "$or" = [
        { stopCode = ["TaskFailedToStart", "TerminationNotice"] }, # and no SpotInterruption: only workers are on Spot
        { stopCode = ["EssentialContainerExited"], containers = { exitCode = [{ anything-but = [0] }] } },
        { containers = { reason = [{ prefix = "OutOfMemory" }] } },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "task_failed" {
  rule = aws_cloudwatch_event_rule.task_failed.name
  arn  = aws_sns_topic.alerts.arn

  # As JSON, for EventBridge puts quotes where they belong only there. Every task that stopped has all of these.
  input_transformer {
    input_paths = {
      definition = "$.detail.taskDefinitionArn"
      task       = "$.detail.taskArn"
      reason     = "$.detail.stoppedReason"
      code       = "$.detail.stopCode"
      containers = "$.detail.containers"
      at         = "$.time"
    }
    input_template = <<-EOT
      {
        "what": "A task of ${var.name} failed. Its log group is /${var.name}/ and the name of its container.",
        "at": <at>,
        "code": <code>,
        "reason": <reason>,
        "definition": <definition>,
        "task": <task>,
        "containers": <containers>
      }
    EOT
  }
}

# Services that cannot get well: ECS replaces an unhealthy task again and again, and calls that no failure of a task.
resource "aws_cloudwatch_event_rule" "service_impaired" {
  name        = "${var.name}-service-impaired"
  description = "A service of ${var.name} cannot start its tasks, or a deployment of one was given up."

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Service Action", "ECS Deployment State Change"]
    "$or" = [
      {
        resources = [{ prefix = "${local.services}/" }]
        detail    = { eventName = ["SERVICE_TASK_START_IMPAIRED", "SERVICE_DEPLOYMENT_FAILED"] }
      },
      # Workers may have to wait for Spot.
      {
        resources = [for service in values(var.service_names) : "${local.services}/${service}"]
        detail    = { eventName = ["SERVICE_TASK_PLACEMENT_FAILURE"] }
      },
    ]
  })
}

resource "aws_cloudwatch_event_target" "service_impaired" {
  rule = aws_cloudwatch_event_rule.service_impaired.name
  arn  = aws_sns_topic.alerts.arn

  input_transformer {
    input_paths = {
      name     = "$.detail.eventName"
      services = "$.resources"
      at       = "$.time"
    }
    input_template = <<-EOT
      {
        "what": "A service of ${var.name} cannot start its tasks, or went back to what ran before. See its events in ECS.",
        "at": <at>,
        "event": <name>,
        "services": <services>
      }
    EOT
  }
}

# The mail comes from the rule; this is so that the dashboard and the list of alarms show it too.
resource "aws_cloudwatch_metric_alarm" "task_failed" {
  alarm_name          = "${var.name}-task-failed"
  alarm_description   = "A task never started, ran out of memory, or ended with an error. The mail of the rule ${aws_cloudwatch_event_rule.task_failed.name} says which, and why."
  namespace           = "AWS/Events"
  metric_name         = "TriggeredRules"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.task_failed.name }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
}

# What EventBridge could not deliver, for want of a right, nobody would hear of otherwise.
resource "aws_cloudwatch_metric_alarm" "task_failed_untold" {
  alarm_name          = "${var.name}-task-failed-untold"
  alarm_description   = "EventBridge could not publish that a task failed. See the policies of the topic ${aws_sns_topic.alerts.name} and of its key, and the stopped tasks in ECS."
  namespace           = "AWS/Events"
  metric_name         = "FailedInvocations"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.task_failed.name }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
}
