# The most that a role of an environment can ever be allowed: what tasks, their starter, the flow log and the
# fetching of exchange rates need, on that environment alone. Roles are given less, each its own; see modules/dagster.

locals {
  boundaries = { for environment, name in local.names : environment => concat([
    {
      Sid    = "Objects"
      Effect = "Allow"
      Action = [
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
      ]
      Resource = ["arn:${local.partition}:s3:::${name}-*"]
    },
    {
      Sid    = "Secrets"
      Effect = "Allow"
      Action = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
      Resource = [
        "arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}:secret:${name}-*",
        "arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}:secret:rds!db-*", # RDS chooses these names
      ]
    },
    {
      Sid      = "CredentialsOfWorkers" # which the provisioning makes
      Effect   = "Allow"
      Action   = ["secretsmanager:PutSecretValue"]
      Resource = ["arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}:secret:${name}-workers-*"]
    },
    {
      Sid       = "Keys"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
      Resource  = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"] # AWS makes up the ids
      Condition = { StringEquals = { "aws:ResourceTag/Environment" = environment } }
    },
    {
      Sid      = "Alerts"
      Effect   = "Allow"
      Action   = ["sns:Publish"]
      Resource = ["arn:${local.partition}:sns:${var.region}:${local.account_id}:${name}-*"]
    },
    {
      Sid    = "Tasks"
      Effect = "Allow"
      Action = [
        "ecs:DescribeTasks",
        "ecs:RunTask",
        "ecs:StopTask",
        "ecs:TagResource",
      ]
      Resource = [
        "arn:${local.partition}:ecs:${var.region}:${local.account_id}:task-definition/${name}-*",
        "arn:${local.partition}:ecs:${var.region}:${local.account_id}:task/${name}/*",
      ]
    },
    {
      Sid      = "Workers" # a run's, to ask for as many as a batch is given
      Effect   = "Allow"
      Action   = ["ecs:DescribeServices", "ecs:UpdateService"]
      Resource = ["arn:${local.partition}:ecs:${var.region}:${local.account_id}:service/${name}/${name}-workers"]
    },
    {
      Sid      = "RolesOfTasks"
      Effect   = "Allow"
      Action   = ["iam:PassRole"]
      Resource = ["${local.iam}:role/${name}/*"]
      Condition = {
        StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" }
      }
    },
    {
      Sid      = "Functions" # a schedule's, to invoke its function
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = ["arn:${local.partition}:lambda:${var.region}:${local.account_id}:function:${name}-*"]
    },
    {
      Sid    = "Logs"
      Effect = "Allow"
      Action = [
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:DescribeLogGroups",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "logs:PutLogEvents",
      ]
      Resource = ["arn:${local.partition}:logs:${var.region}:${local.account_id}:log-group:/${name}/*"]
    },
    {
      Sid    = "Images"
      Effect = "Allow"
      Action = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
      ]
      Resource = [local.image_repository_arn]
    },
    {
      Sid    = "WhatHasNoName"
      Effect = "Allow"
      Action = [
        "ecr:GetAuthorizationToken",
        "ecs:DescribeTaskDefinition",
        "ssmmessages:CreateControlChannel", # port forwarding to the UI
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"] # AWS knows no resources for these
    },
    ], length(local.secrets_of_others[environment]) == 0 ? [] : [{
      Sid      = "LoginsOfOthers"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
      Resource = local.secrets_of_others[environment]
      }], length(local.keys_of_others[environment]) == 0 ? [] : [{
      Sid      = "KeysOfOthers"
      Effect   = "Allow"
      Action   = ["kms:Decrypt"]
      Resource = local.keys_of_others[environment]
      }], [for replication in [lookup(var.replications, environment, null)] : {
      Sid    = "ReadForTheCopy"
      Effect = "Allow"
      Action = [
        "s3:GetObjectLegalHold",
        "s3:GetObjectRetention",
        "s3:GetObjectVersionAcl",
        "s3:GetObjectVersionForReplication",
        "s3:GetObjectVersionTagging",
        "s3:GetReplicationConfiguration",
      ]
      Resource = ["arn:${local.partition}:s3:::${name}-ingestion-*"]
      } if replication != null], [for replication in [lookup(var.replications, environment, null)] : {
      Sid      = "WriteTheCopy"
      Effect   = "Allow"
      Action   = ["s3:ObjectOwnerOverrideToBucketOwner", "s3:ReplicateObject", "s3:ReplicateTags"]
      Resource = ["${replication.bucket_arn}/*"]
      } if replication != null], [for replication in [lookup(var.replications, environment, null)] : {
      Sid      = "EncryptTheCopy"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
      Resource = [replication.kms_key_arn]
  } if replication != null]) }

  # Of the source, and of databases that were there before.
  secrets_of_others = { for environment, name in local.names : environment => compact(concat(
    [try(var.source_databases[environment].secret_arn, null)],
    try(var.existing_databases[environment][*].secret_arn, []),
  )) }
  keys_of_others = { for environment, name in local.names : environment => distinct(compact(concat(
    [try(var.source_databases[environment].secret_kms_key_arn, null)],
    try(var.existing_databases[environment][*].secret_kms_key_arn, []),
  ))) }
}

resource "aws_iam_policy" "boundary" {
  for_each = local.boundaries

  name        = "totes-boundary-${each.key}"
  path        = local.path
  description = "The most that a role of ${local.names[each.key]} can be allowed."
  policy      = jsonencode({ Version = "2012-10-17", Statement = each.value })
}
