# Two roles: what the function may do, and what the schedule may.

data "aws_iam_policy_document" "function_trust" {
  # Lambda does not document that it says for which function it takes a role. Who may pass it is narrowed instead.
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "function" {
  # It creates files, and overwrites none: without `If-None-Match`, S3 refuses.
  statement {
    sid       = "CreateFiles"
    actions   = ["s3:PutObject"]
    resources = ["${var.bucket_arn}/exchange_rate/*"]

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["false"]
    }
  }

  statement {
    sid       = "EncryptThem"
    actions   = ["kms:GenerateDataKey"]
    resources = [var.bucket_kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${local.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

resource "aws_iam_role" "function" {
  name                 = local.function_name
  path                 = "/${var.name}/"
  description          = "What the function that fetches exchange rates for ${var.name} may do."
  assume_role_policy   = data.aws_iam_policy_document.function_trust.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "function" {
  name   = "fetch"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

data "aws_iam_policy_document" "schedule_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    # The schedule's group: AWS names no single schedule here.
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:scheduler:${local.region}:${local.account}:schedule-group/default"]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  # Spelt out: a plan that changes the function could not say otherwise what becomes of this policy.
  statement {
    sid       = "InvokeTheFunction"
    actions   = ["lambda:InvokeFunction"]
    resources = ["arn:${local.partition}:lambda:${local.region}:${local.account}:function:${local.function_name}"]
  }
}

resource "aws_iam_role" "schedule" {
  name                 = "${local.function_name}-schedule"
  path                 = "/${var.name}/"
  description          = "Invokes the function that fetches exchange rates for ${var.name}."
  assume_role_policy   = data.aws_iam_policy_document.schedule_trust.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "schedule" {
  name   = "invoke"
  role   = aws_iam_role.schedule.id
  policy = data.aws_iam_policy_document.schedule.json
}
