# What every bucket is.

mock_provider "aws" {
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::totes-test" }
  }
  override_data {
    target = data.aws_iam_policy_document.this
    values = { json = "{}" }
  }
}

variables {
  name        = "totes-test"
  kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "it_is_private_versioned_and_encrypted" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Nothing of it is public."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "Whoever writes an object, the bucket's owner owns it."
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
    error_message = "Versions are kept."
  }

  assert {
    condition = one([
      for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule :
      rule.bucket_key_enabled && one(rule.apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn
    ])
    error_message = "Objects are encrypted with the key that is named, by a bucket key."
  }

  assert {
    condition     = toset(data.aws_iam_policy_document.this.statement[*].sid) == toset(["OnlyByTls", "OnlyByCurrentTls"])
    error_message = "It is asked only by TLS."
  }
}

run "without_being_told_it_keeps_everything_where_it_is" {
  assert {
    condition = one([
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      length(rule.transition) == 0 && length(rule.expiration) == 0 &&
      one(rule.abort_incomplete_multipart_upload).days_after_initiation == 7
    ])
    error_message = "Only uploads that were never completed are cleaned up."
  }

  assert {
    condition     = !aws_s3_bucket.this.object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "There is no Object Lock unless it is chosen."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "Objects are not deleted with the bucket."
  }
}

run "object_lock_keeps_versions" {
  variables {
    object_lock_days = 90
  }

  assert {
    condition = aws_s3_bucket.this.object_lock_enabled && one([
      for rule in aws_s3_bucket_object_lock_configuration.this[0].rule : "${one(rule.default_retention).mode} ${one(rule.default_retention).days}"
    ]) == "GOVERNANCE 90"
    error_message = "Every version is kept for ninety days."
  }
}

run "a_lock_of_no_days_is_refused" {
  command = plan

  variables {
    object_lock_days = 0
  }

  expect_failures = [var.object_lock_days]
}

run "a_name_with_dots_is_refused" {
  command = plan

  variables {
    name = "totes.test"
  }

  expect_failures = [var.name]
}
