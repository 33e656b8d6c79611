# Backups that whoever deploys cannot delete: a vault for each environment, a daily plan for its databases, and the role
# that carries it out. An administrator makes all of it here, so that no deploying role needs any right on it.

locals {
  backups = { for environment, settings in var.backups : environment => settings if contains(var.environments, environment) }

  # What AWS's own policy for this (AWSBackupServiceRolePolicyForBackup) has for databases of RDS, on those of the
  # environment. Backups are copies of RDS's daily snapshots, or new ones where there are none.
  take_backups = { for environment, name in local.names : environment => [
    {
      Sid    = "TakeSnapshots"
      Effect = "Allow"
      Action = ["rds:AddTagsToResource", "rds:CopyDBSnapshot", "rds:CreateDBSnapshot", "rds:ListTagsForResource"]
      Resource = [
        "arn:${local.partition}:rds:${var.region}:${local.account_id}:db:${name}-*",
        "arn:${local.partition}:rds:${var.region}:${local.account_id}:snapshot:rds:${name}-*",
        "arn:${local.partition}:rds:${var.region}:${local.account_id}:snapshot:awsbackup:*", # AWS makes up the rest
      ]
    },
    {
      Sid      = "DeleteExpiredSnapshots"
      Effect   = "Allow"
      Action   = ["rds:DeleteDBSnapshot"]
      Resource = ["arn:${local.partition}:rds:${var.region}:${local.account_id}:snapshot:awsbackup:*"]
    },
    {
      Sid      = "FindDatabases"
      Effect   = "Allow"
      Action   = ["rds:DescribeDBInstances", "rds:DescribeDBSnapshots"]
      Resource = [for type in ["db", "snapshot"] : "arn:${local.partition}:rds:${var.region}:${local.account_id}:${type}:*"]
    },
    {
      Sid      = "FindResources"
      Effect   = "Allow"
      Action   = ["tag:GetResources"]
      Resource = ["*"] # AWS knows no resources for this
    },
    {
      Sid      = "UseTheVault"
      Effect   = "Allow"
      Action   = ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"]
      Resource = ["arn:${local.partition}:backup:${var.region}:${local.account_id}:backup-vault:${name}"]
    },
    {
      Sid      = "TagBackups"
      Effect   = "Allow"
      Action   = ["backup:TagResource"]
      Resource = ["arn:${local.partition}:backup:${var.region}:${local.account_id}:recovery-point:*"]
    },
    {
      Sid       = "FindKey"
      Effect    = "Allow"
      Action    = ["kms:DescribeKey"]
      Resource  = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"]
      Condition = { StringEquals = { "aws:ResourceTag/Environment" = environment } }
    },
    {
      Sid      = "LendKeyToRds"
      Effect   = "Allow"
      Action   = ["kms:CreateGrant"]
      Resource = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"]
      Condition = {
        StringEquals = { "aws:ResourceTag/Environment" = environment }
        Bool         = { "kms:GrantIsForAWSResource" = "true" }
      }
    },
  ] }
}

# With AWS's own key, which is not used: backups of RDS are encrypted with the key of their database.
resource "aws_backup_vault" "this" {
  for_each = local.backups

  name = local.names[each.key]
}

resource "aws_backup_vault_lock_configuration" "this" {
  for_each = local.backups

  backup_vault_name   = aws_backup_vault.this[each.key].name
  min_retention_days  = each.value.retention_days
  changeable_for_days = each.value.lock == "compliance" ? 3 : null # AWS's least, after which nobody can take it off
}

resource "aws_iam_role" "backup" {
  for_each = local.backups

  name        = "totes-backup-${each.key}"
  path        = local.path
  description = "Backs up the databases of ${local.names[each.key]}."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Backup"
      Effect    = "Allow"
      Principal = { Service = "backup.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "backup" {
  for_each = local.backups

  name   = "backup"
  role   = aws_iam_role.backup[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.take_backups[each.key] })
}

resource "aws_backup_plan" "this" {
  for_each = local.backups

  name = local.names[each.key]

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.this[each.key].name
    schedule          = "cron(0 6 * * ? *)" # UTC; not in the hour before RDS's own backups (01:00) or maintenance (04:00)
    start_window      = 60
    completion_window = 300

    lifecycle {
      delete_after = each.value.retention_days
    }
  }

  depends_on = [aws_backup_vault_lock_configuration.this]
}

# By name, so that it does not matter whether the account uses AWS Backup for RDS otherwise. The environment may be made
# later.
resource "aws_backup_selection" "this" {
  for_each = local.backups

  name         = "databases"
  plan_id      = aws_backup_plan.this[each.key].id
  iam_role_arn = aws_iam_role.backup[each.key].arn
  resources    = ["arn:${local.partition}:rds:${var.region}:${local.account_id}:db:${local.names[each.key]}-*"]

  depends_on = [aws_iam_role_policy.backup]
}
