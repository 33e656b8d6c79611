# Backups and copies that fail. The vault, if there is one, is named after the environment, and `bootstrap` makes it.

resource "aws_cloudwatch_event_rule" "backup_failed" {
  name        = "${var.name}-backup-failed"
  description = "A backup into the vault ${var.name} failed, was not begun in time, or was stopped."

  event_pattern = jsonencode({
    source      = ["aws.backup"]
    detail-type = ["Backup Job State Change"]
    detail = {
      backupVaultName = [var.name]
      state           = ["ABORTED", "EXPIRED", "FAILED", "PARTIAL"]
    }
  })
}

resource "aws_cloudwatch_event_target" "backup_failed" {
  rule = aws_cloudwatch_event_rule.backup_failed.name
  arn  = aws_sns_topic.alerts.arn

  input_transformer {
    input_paths = {
      state    = "$.detail.state"
      database = "$.detail.resourceArn"
      at       = "$.time"
    }
    input_template = <<-EOT
      {
        "what": "A backup of a database of ${var.name} did not succeed. The jobs of AWS Backup say why; the next one is tomorrow.",
        "at": <at>,
        "state": <state>,
        "database": <database>
      }
    EOT
  }
}

# Of S3's metrics of replication, this is the one that it publishes in the region of the source.
resource "aws_cloudwatch_metric_alarm" "replication" {
  count = var.replication == null ? 0 : 1

  alarm_name          = "${var.name}-copy-failed"
  alarm_description   = "Objects of the lake could not be copied to ${var.replication.destination_bucket}. See what its policy and its key allow the role ${var.name}-replication. S3 does not try these objects again: copy them by Batch Replication."
  namespace           = "AWS/S3"
  metric_name         = "OperationsFailedReplication"
  dimensions          = { SourceBucket = var.replication.source_bucket, DestinationBucket = var.replication.destination_bucket, RuleId = "everything" }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}
