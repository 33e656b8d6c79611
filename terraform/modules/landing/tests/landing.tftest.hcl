# Who may put files where, who may read them, and how long they stay.

mock_provider "aws" {
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
  }
  override_data {
    target = data.aws_region.current
    values = { name = "eu-west-2" }
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
  fetching_role_arn     = "arn:aws:iam::123456789012:role/totes-test/totes-test-exchange-rates"
}

run "without_senders_the_policy_allows_nothing" {
  command = plan

  assert {
    condition     = toset(data.aws_iam_policy_document.this.statement[*].effect) == toset(["Deny"])
    error_message = "The bucket's policy allows something to nobody in particular."
  }
}

run "a_sender_puts_files_into_its_own_folders_and_nowhere_else" {
  command = plan

  variables {
    senders = {
      shipment     = ["arn:aws:iam::210987654321:role/carrier", "arn:aws:iam::123456789012:role/office"]
      sales_target = ["arn:aws:iam::123456789012:role/office"]
    }
  }

  assert {
    condition = { for statement in data.aws_iam_policy_document.this.statement : statement.sid => {
      who   = one([for principal in statement.principals : principal.identifiers])
      what  = statement.actions
      where = statement.resources
      } if statement.effect != "Deny" } == {
      PutShipment = {
        who   = toset(["arn:aws:iam::210987654321:role/carrier"])
        what  = toset(["s3:AbortMultipartUpload", "s3:PutObject"])
        where = toset(["arn:aws:s3:::totes-test-landing-123456789012/shipment/*"])
      }
      PutSalesTargetAndShipment = {
        who  = toset(["arn:aws:iam::123456789012:role/office"])
        what = toset(["s3:AbortMultipartUpload", "s3:PutObject"])
        where = toset([
          "arn:aws:s3:::totes-test-landing-123456789012/sales_target/*",
          "arn:aws:s3:::totes-test-landing-123456789012/shipment/*",
        ])
      }
    }
    error_message = "A sender may do more than put files of its feeds, or less."
  }

  assert {
    condition = { for statement in data.aws_iam_policy_document.this.statement : statement.sid => {
      who       = one([for condition in statement.condition : "${condition.test} ${condition.variable} ${one(condition.values)}"])
      what      = statement.actions
      elsewhere = statement.not_resources
      } if startswith(statement.sid, "PutOnly") } == {
      PutOnlyShipment = {
        who       = "ArnEquals aws:PrincipalArn arn:aws:iam::210987654321:role/carrier"
        what      = toset(["s3:PutObject"])
        elsewhere = toset(["arn:aws:s3:::totes-test-landing-123456789012/shipment/*"])
      }
      PutOnlySalesTargetAndShipment = {
        who  = "ArnEquals aws:PrincipalArn arn:aws:iam::123456789012:role/office"
        what = toset(["s3:PutObject"])
        elsewhere = toset([
          "arn:aws:s3:::totes-test-landing-123456789012/sales_target/*",
          "arn:aws:s3:::totes-test-landing-123456789012/shipment/*",
        ])
      }
    }
    error_message = "A sender whose own policies allow more could put files elsewhere."
  }
}

run "the_platform_only_reads_but_for_the_role_that_fetches" {
  command = plan

  assert {
    condition = one([
      for statement in data.aws_iam_policy_document.this.statement : contains(statement.actions, "s3:PutObject") && contains(statement.actions, "s3:DeleteObject") &&
      toset([for condition in statement.condition : "${condition.test} ${one(condition.values)}"]) == toset(["ArnLike ${var.platform_role_pattern}", "ArnNotEquals ${var.fetching_role_arn}"])
      if statement.sid == "PlatformOnlyReads"
    ])
    error_message = "Another role of the platform could put or delete files."
  }
}

run "without_a_role_that_fetches_none_puts" {
  command = plan

  variables {
    fetching_role_arn = null
  }

  assert {
    condition = [
      for statement in data.aws_iam_policy_document.this.statement : [for condition in statement.condition : condition.test]
      if statement.sid == "PlatformOnlyReads"
    ] == [["ArnLike"]]
    error_message = "The denial has an exception."
  }
}

run "a_sender_that_is_a_pattern_is_refused" {
  command = plan

  variables {
    senders = { shipment = ["arn:aws:iam::123456789012:role/*"] }
  }

  expect_failures = [var.senders]
}

run "a_feed_that_there_is_none_of_is_refused" {
  command = plan

  variables {
    senders = { shipments = [] }
  }

  expect_failures = [var.senders]
}

run "files_that_are_gone_too_soon_are_refused" {
  command = plan

  variables {
    expire_days = 1
  }

  expect_failures = [var.expire_days]
}
