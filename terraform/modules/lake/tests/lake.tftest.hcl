# What the platform can do with the lake, and what nobody can.

mock_provider "aws" {
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
  }
  override_data {
    target = data.aws_region.current
    values = { name = "eu-west-2" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/totes-test/totes-test-replication" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
}

variables {
  name                  = "totes-test"
  suffix                = "123456789012"
  platform_role_pattern = "arn:aws:iam::123456789012:role/totes-test/*"
}

run "there_are_two_zones" {
  assert {
    condition = local.bucket_names == {
      ingestion = "totes-test-ingestion-123456789012"
      processed = "totes-test-processed-123456789012"
    } && length(output.bucket_names) == 2
    error_message = "Each zone is a bucket of its own."
  }
}

run "the_platform_never_deletes_in_either" {
  assert {
    condition = alltrue([
      for zone, document in data.aws_iam_policy_document.zone : one([
        for statement in document.statement : statement.effect == "Deny" && alltrue([
          for action in ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"] : contains(statement.actions, action)
        ]) && one(statement.condition).values == tolist([var.platform_role_pattern])
        if statement.sid == "PlatformNeverDeletes"
      ])
    ])
    error_message = "Deleting is denied to every role of the platform."
  }

  assert {
    condition = alltrue([
      for zone, document in data.aws_iam_policy_document.zone : alltrue([for statement in document.statement : statement.effect == "Deny"])
    ])
    error_message = "The bucket's policy grants nothing; roles do."
  }
}

run "nobody_overwrites_in_either" {
  assert {
    condition = alltrue([
      for zone, document in data.aws_iam_policy_document.zone : one([
        for statement in document.statement : toset([for condition in statement.condition : "${condition.test} ${condition.variable} ${one(condition.values)}"])
        if statement.sid == "NobodyOverwrites"
      ]) == toset(["Null s3:if-none-match true", "Bool s3:ObjectCreationOperation true"])
    ])
    error_message = "An object is created only by a request that says it must not exist."
  }
}

run "there_is_no_copy_unless_wanted" {
  assert {
    condition     = length(aws_s3_bucket_replication_configuration.this) == 0 && length(aws_iam_role.replication) == 0
    error_message = "A copy is a choice, with costs of its own."
  }
}

run "the_ingestion_zone_is_copied_but_no_deletion" {
  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/totes/totes-boundary-test"
    replication = {
      bucket_arn  = "arn:aws:s3:::example-copy"
      kms_key_arn = "arn:aws:kms:eu-west-1:210987654321:key/22222222-2222-2222-2222-222222222222"
      account_id  = "210987654321"
    }
  }

  assert {
    condition     = keys(aws_s3_bucket_replication_configuration.this) == ["ingestion"] && one(one(aws_s3_bucket_replication_configuration.this["ingestion"].rule).delete_marker_replication).status == "Disabled"
    error_message = "Only the zone that cannot be made anew is copied, and what is deleted here stays there."
  }

  assert {
    condition = one([
      for destination in one(aws_s3_bucket_replication_configuration.this["ingestion"].rule).destination :
      destination.account == "210987654321" && one(destination.access_control_translation).owner == "Destination" && one(destination.encryption_configuration).replica_kms_key_id == var.replication.kms_key_arn
    ])
    error_message = "The copy is the other account's, encrypted with a key of its own."
  }

  assert {
    condition     = toset(flatten(data.aws_iam_policy_document.replication["ingestion"].statement[*].resources)) == toset(["arn:aws:s3:::totes-test-ingestion-123456789012", "arn:aws:s3:::totes-test-ingestion-123456789012/*", module.key.arn, "arn:aws:s3:::example-copy/*", var.replication.kms_key_arn])
    error_message = "The role reaches this bucket and the copy, and nothing else."
  }

  assert {
    condition     = !anytrue([for action in flatten([for statement in data.aws_iam_policy_document.replication["ingestion"].statement : tolist(statement.actions)]) : contains(["s3:ReplicateDelete", "s3:PutObject", "s3:DeleteObject", "s3:GetObject"], action)])
    error_message = "The role may delete, or read by itself."
  }

  assert {
    condition = one([
      for statement in data.aws_iam_policy_document.replication["ingestion"].statement :
      [for condition in statement.condition : tolist(condition.values) if condition.variable == "kms:ViaService"] if statement.sid == "EncryptThem"
    ]) == [tolist(["s3.eu-west-1.amazonaws.com"])]
    error_message = "The key of the copy is used by S3 in its region."
  }

  assert {
    condition     = aws_iam_role.replication["ingestion"].permissions_boundary == var.permissions_boundary_arn && aws_iam_role.replication["ingestion"].path == "/totes-test/"
    error_message = "The role has no boundary, or is not where roles of the environment are."
  }
}

run "a_copy_in_the_same_account_stays_its_own" {
  variables {
    object_lock_days = 30
    replication = {
      bucket_arn  = "arn:aws:s3:::example-copy"
      kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/22222222-2222-2222-2222-222222222222"
    }
  }

  assert {
    condition     = length(one(one(aws_s3_bucket_replication_configuration.this["ingestion"].rule).destination).access_control_translation) == 0 && contains(flatten([for statement in data.aws_iam_policy_document.replication["ingestion"].statement : tolist(statement.actions)]), "s3:GetObjectRetention")
    error_message = "There is no other owner, and locks are copied, too."
  }
}

run "an_alias_instead_of_a_key_is_refused" {
  command = plan

  variables {
    replication = { bucket_arn = "arn:aws:s3:::example-copy", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/copy" }
  }

  expect_failures = [var.replication]
}

run "a_class_that_does_not_answer_at_once_is_refused" {
  command = plan

  variables {
    transitions = [{ days = 90, storage_class = "DEEP_ARCHIVE" }]
  }

  expect_failures = [var.transitions]
}

run "a_pattern_of_no_role_is_refused" {
  command = plan

  variables {
    platform_role_pattern = "*"
  }

  expect_failures = [var.platform_role_pattern]
}
