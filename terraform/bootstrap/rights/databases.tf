# Database servers, and the logins at them.

locals {
  secrets = "${local.arn.secretsmanager}:secret:${var.name}-*"

  # The secrets that RDS makes for administrators' passwords; it chooses their names.
  managed_secrets = "${local.arn.secretsmanager}:secret:rds!db-*"

  database_types = [for type in ["db", "pg", "snapshot", "subgrp"] : "${local.arn.rds}:${type}:${var.name}-*"]

  read_databases = [
    {
      Sid    = "ReadDatabases"
      Effect = "Allow"
      Action = [
        "rds:DescribeDBInstances",
        "rds:DescribeDBParameterGroups",
        "rds:DescribeDBParameters",
        "rds:DescribeDBSubnetGroups",
        "rds:ListTagsForResource",
      ]
      # Terraform finds a server by an id that AWS made up, which is a search through all of them.
      Resource = [for type in ["db", "pg", "subgrp"] : "${local.arn.rds}:${type}:*"]
    },
    {
      Sid    = "ReadSecretsButNotTheirValues"
      Effect = "Allow"
      Action = [
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetResourcePolicy",
        "secretsmanager:ListSecretVersionIds",
      ]
      Resource = [local.secrets]
    },
    {
      Sid      = "MakePasswordsUp" # a plan does so too, and throws them away
      Effect   = "Allow"
      Action   = ["secretsmanager:GetRandomPassword"]
      Resource = ["*"] # AWS knows no resources for this
    },
  ]

  write_databases = [
    {
      Sid    = "ChangeDatabases"
      Effect = "Allow"
      Action = [
        "rds:AddTagsToResource",
        "rds:CreateDBInstance",
        "rds:CreateDBParameterGroup",
        "rds:CreateDBSnapshot",
        "rds:CreateDBSubnetGroup",
        "rds:DeleteDBInstance",
        "rds:DeleteDBParameterGroup",
        "rds:DeleteDBSubnetGroup",
        "rds:ModifyDBInstance",
        "rds:ModifyDBParameterGroup",
        "rds:ModifyDBSubnetGroup",
        "rds:RemoveTagsFromResource",
        "rds:ResetDBParameterGroup",
      ]
      Resource = local.database_types
    },
    {
      Sid      = "UseDefaultOptions" # a server has an option group, and AWS asks for it too
      Effect   = "Allow"
      Action   = ["rds:CreateDBInstance", "rds:ModifyDBInstance"]
      Resource = ["${local.arn.rds}:og:default:*"]
    },
    {
      Sid    = "ChangeSecrets"
      Effect = "Allow"
      Action = [
        "secretsmanager:CreateSecret",
        "secretsmanager:DeleteSecret",
        "secretsmanager:PutSecretValue",
        "secretsmanager:TagResource",
        "secretsmanager:UntagResource",
        "secretsmanager:UpdateSecret",
        "secretsmanager:UpdateSecretVersionStage",
        # The provider, before 6.26, reads back what it wrote, and throws it away. Only who writes a secret can read it.
        "secretsmanager:GetSecretValue",
      ]
      Resource = [local.secrets]
    },
    {
      Sid      = "LetRdsKeepItsPasswords"
      Effect   = "Allow"
      Action   = ["secretsmanager:CreateSecret", "secretsmanager:TagResource"]
      Resource = [local.managed_secrets]
    },
    {
      Sid      = "MakeRoleOfRds"
      Effect   = "Allow"
      Action   = ["iam:CreateServiceLinkedRole"]
      Resource = ["${local.iam}:role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS"]
      Condition = {
        StringEquals = { "iam:AWSServiceName" = "rds.amazonaws.com" }
      }
    },
  ]
}
