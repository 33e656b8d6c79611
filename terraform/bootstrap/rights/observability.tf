# Logs, alarms, dashboards, topics, rules about events, and the budget.

locals {
  # Groups are named after the environment, and those that RDS writes to after the server.
  log_groups = [
    "${local.arn.logs}:log-group:/${var.name}/*",
    "${local.arn.logs}:log-group:/aws/rds/instance/${var.name}-*",
  ]

  alarms     = "${local.arn.cloudwatch}:alarm:${var.name}-*"
  dashboards = "arn:${var.partition}:cloudwatch::${var.account_id}:dashboard/${var.name}"
  topics     = "${local.arn.sns}:${var.name}-*"
  rules      = "${local.arn.events}:rule/${var.name}-*"
  budget     = "arn:${var.partition}:budgets::${var.account_id}:budget/${var.name}"

  read_observability = [
    {
      Sid      = "ReadLogGroups"
      Effect   = "Allow"
      Action   = ["logs:ListTagsForResource"]
      Resource = local.log_groups
    },
    {
      Sid      = "ReadAlarms"
      Effect   = "Allow"
      Action   = ["cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource"]
      Resource = [local.alarms, local.dashboards]
    },
    {
      Sid    = "ReadTopicsAndRules"
      Effect = "Allow"
      Action = [
        "events:DescribeRule",
        "events:ListTagsForResource",
        "events:ListTargetsByRule",
        "sns:GetTopicAttributes",
        "sns:ListSubscriptionsByTopic",
        "sns:ListTagsForResource",
      ]
      Resource = [local.topics, local.rules]
    },
    {
      Sid      = "ReadBudget"
      Effect   = "Allow"
      Action   = ["budgets:ListTagsForResource", "budgets:ViewBudget"]
      Resource = [local.budget]
    },
    {
      Sid    = "ReadListsOfThem"
      Effect = "Allow"
      Action = [
        "cloudwatch:DescribeAlarms", # of composite alarms, AWS asks for the right to all
        "logs:DescribeLogGroups",
        "sns:GetSubscriptionAttributes",
      ]
      Resource = ["*"] # AWS knows no resources for these
    },
  ]

  write_observability = [
    {
      Sid    = "ChangeLogGroups"
      Effect = "Allow"
      Action = [
        "logs:AssociateKmsKey",
        "logs:CreateLogGroup",
        "logs:DeleteLogGroup",
        "logs:DeleteRetentionPolicy",
        "logs:DisassociateKmsKey",
        "logs:PutRetentionPolicy",
        "logs:TagResource",
        "logs:UntagResource",
      ]
      Resource = local.log_groups
    },
    {
      Sid    = "ChangeAlarms"
      Effect = "Allow"
      Action = [
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DeleteDashboards",
        "cloudwatch:PutDashboard",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
      ]
      Resource = [local.alarms, local.dashboards]
    },
    {
      Sid    = "ChangeTopicsAndRules"
      Effect = "Allow"
      Action = [
        "events:DeleteRule",
        "events:DisableRule",
        "events:EnableRule",
        "events:PutRule",
        "events:PutTargets",
        "events:RemoveTargets",
        "events:TagResource",
        "events:UntagResource",
        "sns:CreateTopic",
        "sns:DeleteTopic",
        "sns:SetTopicAttributes",
        "sns:Subscribe",
        "sns:TagResource",
        "sns:UntagResource",
      ]
      Resource = [local.topics, local.rules]
    },
    {
      Sid      = "ChangeBudget"
      Effect   = "Allow"
      Action   = ["budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource"]
      Resource = [local.budget]
    },
    {
      Sid      = "ChangeSubscriptions"
      Effect   = "Allow"
      Action   = ["sns:SetSubscriptionAttributes", "sns:Unsubscribe"]
      Resource = ["*"] # AWS knows no resources for these
    },
  ]
}
