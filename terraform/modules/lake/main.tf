# The two zones of the lake. What the platform wrote stays as it was written: it can create and read objects, and neither
# overwrite nor delete any, whatever its roles' own policies say.

locals {
  zones = {
    ingestion = { object_lock_days = var.object_lock_days }
    processed = { object_lock_days = null } # follows from the ingestion zone, and can be made anew from it
  }
}

module "key" {
  source = "../key"

  name        = "${var.name}-lake"
  description = "The objects of the lake of ${var.name}."
}

data "aws_iam_policy_document" "zone" {
  for_each = local.zones

  statement {
    sid    = "PlatformNeverDeletes"
    effect = "Deny"
    actions = [
      "s3:BypassGovernanceRetention",
      "s3:DeleteObject",
      "s3:DeleteObjectTagging",
      "s3:DeleteObjectVersion",
      "s3:DeleteObjectVersionTagging",
      "s3:PutObjectAcl",
      "s3:PutObjectLegalHold",
      "s3:PutObjectRetention",
      "s3:PutObjectVersionAcl",
    ]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${local.bucket_names[each.key]}/*"]

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

  statement {
    sid       = "PlatformNeverChangesTheBucket"
    effect    = "Deny"
    actions   = ["s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucketPolicy", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${local.bucket_names[each.key]}"]

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

  # S3 itself refuses to create what exists already if the request says `If-None-Match`, so every request must.
  statement {
    sid       = "NobodyOverwrites"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${local.bucket_names[each.key]}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }

    # A multipart upload says it when it is completed, not with every part.
    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }
}

data "aws_partition" "current" {}

locals {
  bucket_names = { for zone in keys(local.zones) : zone => "${var.name}-${zone}-${var.suffix}" }
}

module "zone" {
  source   = "../bucket"
  for_each = local.zones

  name             = local.bucket_names[each.key]
  kms_key_arn      = module.key.arn
  policy_documents = [data.aws_iam_policy_document.zone[each.key].json]
  object_lock_days = each.value.object_lock_days
  transitions      = var.transitions
  noncurrent_days  = var.noncurrent_days
  force_destroy    = var.force_destroy
}
