# Two kinds of roles. The execution role is what ECS starts tasks with: it pulls the image, writes logs, and hands over the
# password of Dagster's storage. Task roles are what the containers themselves may do: one for each, and no more than it
# takes.

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

    # Only of the roles of tasks does ECS document that it says for what it takes them.
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
  name                 = "${var.name}-execution"
  path                 = "/${var.name}/"
  description          = "Starts the tasks of ${var.name}."
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
    resources = [for arn in values(var.log_group_arns) : "${arn}:*"]
  }

  statement {
    sid       = "HandOverThePasswordOfTheStorage"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [local.storage.secret_arn]
  }

  statement {
    sid       = "DecryptIt"
    actions   = ["kms:Decrypt"]
    resources = [local.storage.secret_kms_key_arn]
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  for_each = local.grants

  name                 = "${var.name}-${each.key}"
  path                 = "/${var.name}/"
  description          = "What the ${each.key} of ${var.name} may do."
  assume_role_policy   = data.aws_iam_policy_document.trust["task"].json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "task" {
  for_each = local.grants

  source_policy_documents = [for grant in each.value : data.aws_iam_policy_document.grant[grant].json]
}

data "aws_iam_policy_document" "data" {
  source_policy_documents = [for grant in local.working_on_data : data.aws_iam_policy_document.grant[grant].json]
}

resource "aws_iam_role_policy" "task" {
  for_each = { for role, grants in local.grants : role => grants if length(grants) > 0 }

  name   = each.key
  role   = aws_iam_role.task[each.key].id
  policy = data.aws_iam_policy_document.task[each.key].json
}

locals {
  # What workers may do of it, too.
  working_on_data = ["read_logins", "write_lake"]

  running_the_platform = concat(
    local.working_on_data,
    ["read_landing", "write_compute_logs", "prune_compute_logs", "publish_alerts"],
    var.workers == null ? [] : ["ask_for_workers"],
  )

  grants = {
    webserver = concat(
      ["read_compute_logs"],
      var.port_forwarding ? ["forward_ports"] : [],
      local.runs_are_tasks ? ["watch_tasks", "stop_runs"] : [],
    )
    daemon = local.runs_are_tasks ? ["watch_tasks", "stop_runs", "launch_runs", "read_run_logs"] : []
    code-server = local.runs_are_tasks ? [
      "read_source_login", "read_lake", "read_landing", "write_compute_logs", "publish_alerts",
    ] : local.running_the_platform
    run = local.running_the_platform
    provision = concat(
      ["read_administrator_logins", "read_warehouse_login"],
      var.workers == null ? [] : ["fill_credentials_of_workers"],
    )
  }
}
