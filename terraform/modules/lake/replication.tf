# A copy of the ingestion zone elsewhere, for what is lost with a region or an account. The processed zone can be made anew
# from it. What is deleted here stays there: delete markers are not copied.

locals {
  replication = { for replication in var.replication == null ? [] : [var.replication] : "ingestion" => replication }

  source_arn = "arn:${data.aws_partition.current.partition}:s3:::${local.bucket_names.ingestion}"
}

data "aws_region" "current" {}

data "aws_iam_policy_document" "replication_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "replication" {
  for_each = local.replication

  statement {
    sid       = "ReadConfiguration"
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [local.source_arn]
  }

  statement {
    sid = "ReadVersions"
    actions = concat(
      ["s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"],
      var.object_lock_days == null ? [] : ["s3:GetObjectLegalHold", "s3:GetObjectRetention"],
    )
    resources = ["${local.source_arn}/*"]
  }

  statement {
    sid       = "DecryptThem"
    actions   = ["kms:Decrypt"]
    resources = [module.key.arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.name}.amazonaws.com"]
    }
  }

  statement {
    sid = "WriteReplicas"
    actions = concat(
      ["s3:ReplicateObject", "s3:ReplicateTags"],
      each.value.account_id == null ? [] : ["s3:ObjectOwnerOverrideToBucketOwner"],
    )
    resources = ["${each.value.bucket_arn}/*"]
  }

  # With a bucket key there, S3 also decrypts: the bucket key, to see that it is whole.
  statement {
    sid       = "EncryptThem"
    actions   = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
    resources = [each.value.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${split(":", each.value.kms_key_arn)[3]}.amazonaws.com"]
    }

    condition {
      test     = "StringLike"
      variable = "kms:EncryptionContext:aws:s3:arn"
      values   = [each.value.bucket_arn, "${each.value.bucket_arn}/*"]
    }
  }
}

resource "aws_iam_role" "replication" {
  for_each = local.replication

  name                 = "${var.name}-replication"
  path                 = "/${var.name}/"
  description          = "Copies the ingestion zone of ${var.name} to ${each.value.bucket_arn}."
  assume_role_policy   = data.aws_iam_policy_document.replication_trust.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "replication" {
  for_each = local.replication

  name   = "replication"
  role   = aws_iam_role.replication[each.key].id
  policy = data.aws_iam_policy_document.replication[each.key].json
}

resource "aws_s3_bucket_replication_configuration" "this" {
  for_each = local.replication

  bucket = module.zone[each.key].name
  role   = aws_iam_role.replication[each.key].arn

  rule {
    id     = "everything"
    status = "Enabled"

    filter {}

    delete_marker_replication {
      status = "Disabled"
    }

    source_selection_criteria {
      sse_kms_encrypted_objects {
        status = "Enabled"
      }
    }

    destination {
      bucket  = each.value.bucket_arn
      account = each.value.account_id

      encryption_configuration {
        replica_kms_key_id = each.value.kms_key_arn
      }

      dynamic "access_control_translation" {
        for_each = each.value.account_id == null ? [] : ["Destination"]

        content {
          owner = access_control_translation.value
        }
      }

      metrics {
        status = "Enabled" # without them, nobody would hear of an object that could not be copied
      }
    }
  }

  depends_on = [aws_iam_role_policy.replication]
}
