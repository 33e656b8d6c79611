# What the roles may do to what this folder makes: the state, and the repository of images.

locals {
  state_objects = { for environment, name in local.names : environment => "${aws_s3_bucket.state.arn}/${name}/terraform.tfstate" }

  # Plans that were shown, until they are applied. A plan has the whole state in it.
  plans = { for environment, name in local.names : environment => "${aws_s3_bucket.state.arn}/plans/${name}/*" }

  # Without the right to list, S3 says of a state that is not there yet that it is forbidden.
  find_state = {
    Sid      = "FindState"
    Effect   = "Allow"
    Action   = ["s3:ListBucket"]
    Resource = [aws_s3_bucket.state.arn]
  }

  lock_actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]

  state_key = {
    Sid      = "UseKeyOfState"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = [aws_kms_key.state.arn]
  }

  read_state = [
    local.find_state,
    local.state_key,
    {
      Sid      = "ReadState"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = values(local.state_objects)
    },
  ]

  # What is merged is deployed. A mistake, or somebody who gets as far as the pipeline, does not get at what holds data.
  never_destroy = [
    {
      Sid    = "NeverDestroyData"
      Effect = "Deny"
      Action = [
        "kms:DisableKey",
        "kms:ScheduleKeyDeletion",
        "rds:DeleteDBInstance",
        "rds:DeleteDBInstanceAutomatedBackup",
        "rds:DeleteDBSnapshot",
        "s3:DeleteBucket",
        "s3:DeleteObjectVersion",
      ]
      Resource = ["*"]
    },
  ]

  # The role has no right on the vault anyway; this holds even if somebody gives it one.
  never_empty_the_vault = [
    {
      Sid    = "NeverEmptyTheVault"
      Effect = "Deny"
      Action = [
        "backup:DeleteBackupPlan",
        "backup:DeleteBackupSelection",
        "backup:DeleteBackupVault",
        "backup:DeleteBackupVaultAccessPolicy",
        "backup:DeleteBackupVaultLockConfiguration",
        "backup:DeleteRecoveryPoint",
        "backup:DisassociateRecoveryPoint",
        "backup:PutBackupVaultAccessPolicy",
        "backup:PutBackupVaultLockConfiguration",
        "backup:UpdateBackupPlan",
        "backup:UpdateRecoveryPointLifecycle",
      ]
      Resource = ["*"]
    },
  ]

  write_state = { for environment, object in local.state_objects : environment => concat([
    local.find_state,
    local.state_key,
    {
      Sid      = "WriteState"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject"]
      Resource = [object]
    },
    {
      Sid      = "LockState"
      Effect   = "Allow"
      Action   = local.lock_actions
      Resource = ["${object}.tflock"]
    },
    {
      Sid      = "ReadPlans"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [local.plans[environment]]
    },
    ], [for statement in local.never_destroy : statement if contains(var.protected_environments, environment)],
    [for statement in local.never_empty_the_vault : statement if contains(var.protected_environments, environment) || contains(keys(local.backups), environment)],
  ) }

  # Pull requests must have none of this. What they plan is not applied, and they see no login.
  preview = { for environment, name in local.names : environment => [
    local.find_state,
    local.state_key,
    {
      Sid      = "ReadState"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [local.state_objects[environment]]
    },
    {
      Sid      = "WritePlans"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = [local.plans[environment]]
    },
    {
      # To see whether a login is as it was, the provider reads it, and throws it away; from 6.26 on it only asks which
      # versions there are. These are the logins that Terraform made: of no administrator, and not the source's.
      Sid    = "CompareLogins"
      Effect = "Allow"
      Action = ["secretsmanager:GetSecretValue"]
      Resource = [
        for login in ["dagster-storage", "warehouse-dashboard", "warehouse-loader"] :
        "arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}:secret:${name}-${login}-*"
      ]
    },
    {
      Sid      = "UseKeysOfLogins"
      Effect   = "Allow"
      Action   = ["kms:Decrypt"]
      Resource = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"] # AWS makes up the ids
      Condition = {
        StringEquals = {
          "aws:ResourceTag/Environment" = environment
          "kms:ViaService"              = "secretsmanager.${var.region}.amazonaws.com"
        }
      }
    },
  ] }

  push = [
    {
      Sid      = "LogInToImages"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # AWS knows no resources for this
    },
    {
      Sid    = "PushImages"
      Effect = "Allow"
      Action = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImageScanFindings",
        "ecr:DescribeImages", # whether the commit's image is there already
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:StartImageScan", # of an image that the push did not have scanned
        "ecr:UploadLayerPart",
      ]
      Resource = [local.image_repository_arn]
    },
  ]
}
