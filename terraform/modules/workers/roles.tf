# Roles, as for Dagster's tasks: ECS starts both kinds of tasks with one; the scheduler may read its credentials, and a
# worker also what a run reads and writes. Neither may start tasks.

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
  name                 = "${var.name}-workers-execution"
  path                 = "/${var.name}/"
  description          = "Starts the workers of ${var.name}, and their scheduler."
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
    resources = [for group in aws_cloudwatch_log_group.this : "${group.arn}:*"]
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  for_each = local.tasks

  name                 = "${var.name}-${each.key}"
  path                 = "/${var.name}/"
  description          = "What the ${each.key} of ${var.name} may do."
  assume_role_policy   = data.aws_iam_policy_document.trust["task"].json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "task" {
  for_each = { scheduler = [], workers = [var.data_policy] }

  source_policy_documents = each.value

  statement {
    sid       = "ReadTheCredentialsOfWorkers"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.this.arn]
  }

  statement {
    sid       = "DecryptTheCredentialsOfWorkers"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
}

resource "aws_iam_role_policy" "task" {
  for_each = local.tasks

  name   = each.key
  role   = aws_iam_role.task[each.key].id
  policy = data.aws_iam_policy_document.task[each.key].json
}
