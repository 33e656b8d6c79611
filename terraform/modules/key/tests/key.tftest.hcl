# Who may use the key, and that it is rotated.

mock_provider "aws" {
  override_during = plan

  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
  }
  override_data {
    target = data.aws_iam_policy_document.this
    values = { json = "{}" }
  }
}

variables {
  name        = "totes-test"
  description = "A test."
  services = {
    Alarms = {
      principal  = "cloudwatch.amazonaws.com"
      actions    = ["kms:Decrypt"]
      conditions = [{ test = "StringEquals", variable = "aws:SourceAccount", values = ["123456789012"] }]
    }
  }
}

run "it_is_rotated_and_can_be_brought_back" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "The key is rotated, and deleting it takes thirty days."
  }

  assert {
    condition     = aws_kms_alias.this.name == "alias/totes-test"
    error_message = "The key has an alias."
  }
}

run "a_service_gets_what_it_is_named_for_and_the_account_the_rest" {
  command = plan

  assert {
    condition = [for statement in data.aws_iam_policy_document.this.statement : [statement.sid, statement.actions] if statement.sid == "Alarms"] == [
      ["Alarms", toset(["kms:Decrypt"])]
    ]
    error_message = "A service may do what it is named for, and no more."
  }

  assert {
    condition     = !anytrue([for action in local.account_actions : strcontains(action, "*")])
    error_message = "No action is a wildcard."
  }

  assert {
    condition     = contains(local.account_actions, "kms:PutKeyPolicy")
    error_message = "The account can still change the key's policy: or nobody could, ever."
  }
}

run "a_role_gets_what_it_is_named_for" {
  command = plan

  variables {
    roles = {
      Senders = {
        arns       = ["arn:aws:iam::210987654321:role/carrier"]
        actions    = ["kms:GenerateDataKey"]
        conditions = [{ test = "StringEquals", variable = "kms:ViaService", values = ["s3.eu-west-2.amazonaws.com"] }]
      }
    }
  }

  assert {
    condition = [for statement in data.aws_iam_policy_document.this.statement : [statement.actions, one(statement.principals).identifiers, one(statement.condition).variable] if statement.sid == "Senders"] == [
      [toset(["kms:GenerateDataKey"]), toset(["arn:aws:iam::210987654321:role/carrier"]), "kms:ViaService"]
    ]
    error_message = "A role may do what it is named for, and no more."
  }
}

run "a_key_that_is_gone_at_once_is_refused" {
  command = plan

  variables {
    deletion_window_in_days = 1
  }

  expect_failures = [var.deletion_window_in_days]
}
