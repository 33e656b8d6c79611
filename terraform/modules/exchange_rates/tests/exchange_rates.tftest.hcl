# When the function runs, what it may do, and what it asks for.

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
    target = data.aws_region.current
    values = { name = "eu-west-2" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/totes-test/mocked" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-2:123456789012:log-group:/totes-test/exchange-rates" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-west-2:123456789012:function:totes-test-exchange-rates" }
  }
}

variables {
  name               = "totes-test"
  bucket_name        = "totes-test-landing-123456789012"
  bucket_arn         = "arn:aws:s3:::totes-test-landing-123456789012"
  bucket_kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/11111111-1111-1111-1111-111111111111"
  logs_kms_key_arn   = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "it_is_outside_the_network_runs_once_at_a_time_and_has_time_for_all_attempts" {
  command = plan

  assert {
    condition     = length(aws_lambda_function.this.vpc_config) == 0 && aws_lambda_function.this.reserved_concurrent_executions == 1 && aws_lambda_function.this.timeout > 4 * 20 + 30
    error_message = "The function is in a network, runs twice at once, or ends before its attempts do."
  }

  assert {
    condition     = aws_lambda_function.this.runtime == "python3.12" && aws_lambda_function.this.architectures == tolist(["x86_64"]) && one(aws_lambda_function.this.logging_config).log_group == "/totes-test/exchange-rates"
    error_message = "It runs on something else, or logs elsewhere."
  }

  assert {
    condition = one(aws_lambda_function.this.environment).variables == tomap({
      LANDING_BUCKET  = "totes-test-landing-123456789012"
      BASE_URL        = "https://data-api.ecb.europa.eu"
      CURRENCIES      = "USD+GBP"
      DAYS            = "14"
      TIMEOUT_SECONDS = "20"
    })
    error_message = "It is told something else."
  }
}

run "it_runs_after_publication_on_working_days_and_once_more" {
  command = plan

  assert {
    condition     = aws_scheduler_schedule.this.schedule_expression == "cron(15 16,18 ? * MON-FRI *)" && aws_scheduler_schedule.this.schedule_expression_timezone == "Europe/Berlin"
    error_message = "It runs at another time."
  }

  assert {
    condition     = jsondecode(one(aws_scheduler_schedule.this.target).input) == { time = "<aws.scheduler.scheduled-time>" } && strcontains(one(aws_scheduler_schedule.this.target).input, "<aws.scheduler.scheduled-time>")
    error_message = "A repeated delivery would make a second file."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 0
    error_message = "An error that is made up for a minute later would alarm all the same."
  }
}

run "it_may_create_files_of_its_feed_and_nothing_else" {
  command = plan

  assert {
    condition = { for statement in data.aws_iam_policy_document.function.statement : statement.sid => {
      what  = one(statement.actions)
      where = one(statement.resources)
      if    = one([for condition in statement.condition : "${condition.test} ${condition.variable} ${one(condition.values)}"])
      } if statement.sid != "WriteLogs" } == {
      CreateFiles = {
        what  = "s3:PutObject"
        where = "arn:aws:s3:::totes-test-landing-123456789012/exchange_rate/*"
        if    = "Null s3:if-none-match false"
      }
      EncryptThem = {
        what  = "kms:GenerateDataKey"
        where = "arn:aws:kms:eu-west-2:123456789012:key/11111111-1111-1111-1111-111111111111"
        if    = "StringEquals kms:ViaService s3.eu-west-2.amazonaws.com"
      }
    }
    error_message = "It may do more, or overwrite."
  }

  assert {
    condition     = [for statement in data.aws_iam_policy_document.function.statement : statement.resources if statement.sid == "WriteLogs"] == [toset(["arn:aws:logs:eu-west-2:123456789012:log-group:/totes-test/exchange-rates:*"])]
    error_message = "It may write logs elsewhere."
  }

  assert {
    condition     = [for statement in data.aws_iam_policy_document.schedule.statement : [one(statement.actions), one(statement.resources)]] == [["lambda:InvokeFunction", "arn:aws:lambda:eu-west-2:123456789012:function:totes-test-exchange-rates"]]
    error_message = "The schedule may do more than invoke the function."
  }
}

run "an_address_without_tls_is_refused" {
  command = plan

  variables {
    base_url = "http://data-api.ecb.europa.eu"
  }

  expect_failures = [var.base_url]
}

run "the_euro_is_refused" {
  command = plan

  variables {
    currencies = ["USD", "EUR"]
  }

  expect_failures = [var.currencies]
}

run "days_that_holidays_can_fill_are_refused" {
  command = plan

  variables {
    days = 3
  }

  expect_failures = [var.days]
}

run "more_than_one_at_once_is_refused" {
  command = plan

  variables {
    reserved_concurrency = 2
  }

  expect_failures = [var.reserved_concurrency]
}
