# Exchange rates from the internet, which the platform's network has no way to: a function outside that network fetches
# the European Central Bank's, and puts them into the landing bucket. It can do nothing else, and nothing can reach it.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.name

  function_name = "${var.name}-exchange-rates"
  package       = "${path.module}/function.zip" # packed by package.py
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/exchange-rates"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_kms_key_arn
}

resource "aws_lambda_function" "this" {
  function_name                  = local.function_name
  description                    = "Fetches exchange rates of the European Central Bank into the landing bucket of ${var.name}."
  role                           = aws_iam_role.function.arn
  runtime                        = "python3.12"
  architectures                  = [lower(var.architecture)]
  handler                        = "exchange_rates.handler"
  filename                       = local.package
  source_code_hash               = filebase64sha256(local.package)
  memory_size                    = 256
  timeout                        = 180 # seconds: four attempts, and time to put the file
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = {
      LANDING_BUCKET  = var.bucket_name
      BASE_URL        = var.base_url
      CURRENCIES      = join("+", var.currencies)
      DAYS            = tostring(var.days)
      TIMEOUT_SECONDS = "20"
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  depends_on = [aws_iam_role_policy.function]
}

# The function retries by itself. What it could not fetch then is left to the alarm, and to the next run.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 3600
}

# The bank publishes at about 16:00 in Frankfurt. Two hours later is for rates that are late, and for a fetch that failed.
resource "aws_scheduler_schedule" "this" {
  name                         = local.function_name
  description                  = "Fetches exchange rates once they are published, and once more."
  schedule_expression          = "cron(15 16,18 ? * MON-FRI *)"
  schedule_expression_timezone = "Europe/Berlin"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this.arn
    role_arn = aws_iam_role.schedule.arn
    # The time names the file, so that a repeated delivery makes no second one. Not by jsonencode, which escapes `<`.
    input = "{\"time\": \"<aws.scheduler.scheduled-time>\"}"

    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 5
    }
  }
}
