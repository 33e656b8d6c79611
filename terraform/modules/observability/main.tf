# What tells whether the platform is well: logs, alarms, a topic that they go to, and a dashboard.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  account   = data.aws_caller_identity.current.account_id

  services = "arn:${local.partition}:ecs:${local.region}:${local.account}:service/${var.cluster_name}"
}

resource "aws_cloudwatch_log_group" "task" {
  for_each = toset(["webserver", "daemon", "code-server", "run", "provision"])

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}
