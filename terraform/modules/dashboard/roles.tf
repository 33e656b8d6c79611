# Two roles, as for Dagster's tasks: ECS starts the task with one; the dashboard itself has the other, and may read one
# secret with it.

data "aws_iam_policy_document" "trust" {
  for_each = toset(["task", "execution"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    # ECS documents this for the roles of tasks only.
    dynamic "condition" {
      for_each = each.key == "task" ? ["arn:${local.partition}:ecs:${local.region}:${local.account}:*"] : []

      content {
        test     = "ArnLike"
        variable = "aws:SourceArn"
        values   = [condition.value]
      }
    }
  }
}

resource "aws_iam_role" "execution" {
  name                 = "${local.service_name}-execution"
  path                 = "/${var.name}/"
  description          = "Starts the dashboard of ${var.name}."
  assume_role_policy   = data.aws_iam_policy_document.trust["execution"].json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "LogInToEcr"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # it is for no repository in particular: AWS offers nothing finer
  }

  statement {
    sid       = "PullTheImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [var.image_repository_arn]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  name                 = local.service_name
  path                 = "/${var.name}/"
  description          = "What the dashboard of ${var.name} may do."
  assume_role_policy   = data.aws_iam_policy_document.trust["task"].json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "task" {
  statement {
    sid       = "ReadItsLoginOfTheWarehouse"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.warehouse.secret_arn]
  }

  statement {
    sid       = "DecryptIt"
    actions   = ["kms:Decrypt"]
    resources = [coalesce(var.warehouse.secret_kms_key_arn, var.kms_key_arn)]
  }
}

resource "aws_iam_role_policy" "task" {
  name   = "dashboard"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}
