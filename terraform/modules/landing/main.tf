# Where files from outside the platform land, in one folder for each feed. The platform lists and reads them. Each sender
# puts files into its own folders, and can do nothing else here.

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  bucket_name = "${var.name}-landing-${var.suffix}"
  bucket_arn  = "arn:${data.aws_partition.current.partition}:s3:::${local.bucket_name}"

  # Senders with the same feeds share their statements.
  roles    = distinct(flatten(values(var.senders)))
  feeds_of = { for role in local.roles : role => sort([for feed, roles in var.senders : feed if contains(roles, role)]) }
  groups = {
    for role, feeds in local.feeds_of : join("And", [for feed in feeds : replace(title(replace(feed, "_", " ")), " ", "")]) => role...
  }
  folders = { for group, roles in local.groups : group => [for feed in local.feeds_of[roles[0]] : "${local.bucket_arn}/${feed}/*"] }
}

# A key of its own, so that senders of other accounts never hold rights on the key of the lake.
module "key" {
  source = "../key"

  name        = "${var.name}-landing"
  description = "Files that land for ${var.name}."
  roles = length(local.roles) == 0 ? {} : {
    Senders = {
      arns    = local.roles
      actions = ["kms:Decrypt", "kms:GenerateDataKey"] # S3 asks for the former in a multipart upload
      conditions = [
        { test = "StringEquals", variable = "kms:ViaService", values = ["s3.${data.aws_region.current.name}.amazonaws.com"] },
        # With a bucket key, S3 names the bucket, and not the object.
        { test = "StringEquals", variable = "kms:EncryptionContext:aws:s3:arn", values = [local.bucket_arn] },
      ]
    }
  }
}

data "aws_iam_policy_document" "this" {
  dynamic "statement" {
    for_each = local.groups

    content {
      sid       = "Put${statement.key}"
      actions   = ["s3:AbortMultipartUpload", "s3:PutObject"]
      resources = local.folders[statement.key]

      principals {
        type        = "AWS"
        identifiers = statement.value
      }
    }
  }

  # Whatever the sender's own policies allow.
  dynamic "statement" {
    for_each = local.groups

    content {
      sid           = "PutOnly${statement.key}"
      effect        = "Deny"
      actions       = ["s3:PutObject"]
      not_resources = local.folders[statement.key]

      principals {
        type        = "AWS"
        identifiers = ["*"]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:PrincipalArn"
        values   = statement.value
      }
    }
  }

  statement {
    sid    = "PlatformOnlyReads"
    effect = "Deny"
    actions = [
      "s3:DeleteObject",
      "s3:DeleteObjectTagging",
      "s3:DeleteObjectVersion",
      "s3:DeleteObjectVersionTagging",
      "s3:PutObject",
      "s3:PutObjectTagging",
    ]
    resources = ["${local.bucket_arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = [var.platform_role_pattern]
    }

    dynamic "condition" {
      for_each = var.fetching_role_arn == null ? [] : [var.fetching_role_arn]

      content {
        test     = "ArnNotEquals"
        variable = "aws:PrincipalArn"
        values   = [condition.value]
      }
    }
  }

  statement {
    sid       = "PlatformNeverChangesTheBucket"
    effect    = "Deny"
    actions   = ["s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucketPolicy", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"]
    resources = [local.bucket_arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = [var.platform_role_pattern]
    }
  }
}

# S3 cannot know which files have been taken. All of them expire, long after the platform keeps its own copy in the lake.
module "bucket" {
  source = "../bucket"

  name             = local.bucket_name
  kms_key_arn      = module.key.arn
  policy_documents = [data.aws_iam_policy_document.this.json]
  expire_days      = var.expire_days
  noncurrent_days  = 30
  force_destroy    = var.force_destroy
}
