# What the platform can do with the lake, and what nobody can.

mock_provider "aws" {
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
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
