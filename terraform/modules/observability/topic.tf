# The topic that everything is told to: by the platform itself, by CloudWatch's alarms, and by EventBridge.

locals {
  topic_arn = "arn:${local.partition}:sns:${local.region}:${local.account}:${var.name}-alerts"

  # What SNS says of what it encrypts; the source, such as the account, it does not say for every service.
  of_this_topic = { test = "StringEquals", variable = "kms:EncryptionContext:aws:sns:topicArn", values = [local.topic_arn] }

  publishers = {
    for sid, principal in { CloudWatchAlarms = "cloudwatch.amazonaws.com", EventBridge = "events.amazonaws.com" } : sid => {
      principal                              = principal
      actions                                = ["kms:Decrypt", "kms:GenerateDataKey"]
      conditions                             = [local.of_this_topic]
    }
  }
}

# An encrypted topic takes nothing from a service that may not use its key, and says so nowhere.
module "key" {
  source = "../key"

  name        = "${var.name}-alerts"
  description = "Alerts of ${var.name}, on their way."
  services    = local.publishers
}

resource "aws_sns_topic" "alerts" {
  name              = "${var.name}-alerts"
  display_name      = var.name
  kms_master_key_id = module.key.arn
}

data "aws_iam_policy_document" "topic" {
  statement {
    sid       = "CloudWatchPublishesAlarms"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:cloudwatch:${local.region}:${local.account}:alarm:${var.name}-*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  # No condition on the rule: EventBridge gives SNS no source that a policy could ask for.
  statement {
    sid       = "EventBridgePublishesFailedTasks"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }

  statement {
    sid       = "OnlyByTls"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = data.aws_iam_policy_document.topic.json
}

# Whoever is named gets a mail first that asks whether they want to.
resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.alert_emails)

  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = each.value
}

# Others' queues, functions and addresses. An address that contains a key is subscribed by hand: Terraform's state would
# keep it.
resource "aws_sns_topic_subscription" "other" {
  for_each = { for subscription in var.alert_subscriptions : "${subscription.protocol} ${subscription.endpoint}" => subscription }

  topic_arn = aws_sns_topic.alerts.arn
  protocol  = each.value.protocol
  endpoint  = each.value.endpoint
}
