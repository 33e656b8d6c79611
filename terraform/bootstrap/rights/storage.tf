# Buckets and keys. What is in a bucket is nothing that a deployment reads or changes.

locals {
  read_storage = [
    {
      Sid    = "ReadBuckets"
      Effect = "Allow"
      Action = [
        "s3:GetAccelerateConfiguration",
        "s3:GetBucketAcl",
        "s3:GetBucketCORS",
        "s3:GetBucketLogging",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketPolicy",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetBucketRequestPayment",
        "s3:GetBucketTagging",
        "s3:GetBucketVersioning",
        "s3:GetBucketWebsite",
        "s3:GetEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
        "s3:GetReplicationConfiguration",
        "s3:ListBucket", # to see whether a bucket is there
      ]
      Resource = [local.buckets]
    },
    {
      Sid    = "ReadKeys"
      Effect = "Allow"
      Action = [
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListResourceTags",
      ]
      # Not by the tag, which may take minutes to count, and a new key is looked at the moment it is made.
      Resource = ["${local.arn.kms}:key/*"]
    },
    {
      Sid      = "ReadAliases"
      Effect   = "Allow"
      Action   = ["kms:ListAliases"]
      Resource = ["*"] # AWS knows no resources for this
    },
  ]

  write_storage = concat([
    {
      Sid    = "ChangeBuckets"
      Effect = "Allow"
      Action = [
        "s3:CreateBucket",
        "s3:DeleteBucket",
        "s3:DeleteBucketPolicy",
        "s3:PutBucketObjectLockConfiguration",
        "s3:PutBucketOwnershipControls",
        "s3:PutBucketPolicy",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketTagging",
        "s3:PutBucketVersioning",
        "s3:PutEncryptionConfiguration",
        "s3:PutLifecycleConfiguration",
      ]
      Resource = [local.buckets]
    },
    {
      Sid       = "MakeKeys"
      Effect    = "Allow"
      Action    = ["kms:CreateKey"]
      Resource  = ["*"] # AWS knows no resources for this; the tag narrows it
      Condition = local.made_here
    },
    {
      Sid       = "TagKeys"
      Effect    = "Allow"
      Action    = ["kms:TagResource"]
      Resource  = ["${local.arn.kms}:key/*"]
      Condition = local.made_ours
    },
    {
      Sid      = "RotateKeys" # not by the tag, which may take minutes to count
      Effect   = "Allow"
      Action   = ["kms:EnableKeyRotation"]
      Resource = ["${local.arn.kms}:key/*"]
    },
    {
      Sid    = "ChangeKeys"
      Effect = "Allow"
      Action = [
        "kms:CreateAlias",
        "kms:DeleteAlias",
        "kms:DisableKeyRotation",
        "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion",
        "kms:TagResource",
        "kms:UntagResource",
        "kms:UpdateAlias",
        "kms:UpdateKeyDescription",
      ]
      Resource  = ["${local.arn.kms}:key/*"]
      Condition = local.is_ours
    },
    {
      Sid      = "NameKeys" # AWS asks for the alias as well as for the key
      Effect   = "Allow"
      Action   = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]
      Resource = ["${local.arn.kms}:alias/${var.name}-*"]
    },
    {
      Sid       = "LendKeysToServices" # RDS, and whatever else keeps what it encrypts for longer than a call
      Effect    = "Allow"
      Action    = ["kms:CreateGrant"]
      Resource  = ["${local.arn.kms}:key/*"]
      Condition = merge(local.is_ours, { Bool = { "kms:GrantIsForAWSResource" = "true" } })
    },
    {
      Sid      = "UseKeysThroughServices"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = ["${local.arn.kms}:key/*"]
      Condition = {
        StringEquals = {
          "aws:ResourceTag/Environment" = var.environment
          "kms:ViaService"              = [for service in ["rds", "secretsmanager"] : "${service}.${var.region}.amazonaws.com"]
        }
      }
    },
    ], var.replicated ? [{
      Sid      = "CopyTheIngestionZone"
      Effect   = "Allow"
      Action   = ["s3:PutReplicationConfiguration"]
      Resource = ["arn:${var.partition}:s3:::${var.name}-ingestion-*"]
      }, {
      Sid      = "GiveRoleToReplication" # for which S3 does not document whom it says that the role is passed to
      Effect   = "Allow"
      Action   = ["iam:PassRole"]
      Resource = ["${local.iam}:role/${var.name}/${var.name}-replication"]
  }] : [])
}
