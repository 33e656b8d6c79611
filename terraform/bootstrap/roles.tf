# The roles that workflows assume: one that plans for pull requests, one that pushes images, and two for each environment:
# one that plans a deployment of it, and one that deploys.

locals {
  # By name, all managed policies; IAM allows each 6,144 characters, so there are several.
  reads  = merge([for environment, rights in module.rights : { for group, statements in rights.read : "${environment}-read-${group}" => statements }]...)
  writes = merge([for environment, rights in module.rights : { for group, statements in rights.write : "${environment}-write-${group}" => statements }]...)

  policies = merge(
    local.reads,
    local.writes,
    { for environment, name in local.names : "${environment}-state" => local.write_state[environment] },
    { for environment, name in local.names : "preview-${environment}" => local.preview[environment] },
    { plan-state = local.read_state },
    { for role in keys(local.subjects) : role => local.push if role == "push" },
  )

  attached = merge(
    { for environment in var.environments : "deploy-${environment}" => [for policy in keys(local.policies) : policy if startswith(policy, "${environment}-")] },
    { for environment in var.environments : "preview-${environment}" => concat([for policy in keys(local.reads) : policy if startswith(policy, "${environment}-")], ["preview-${environment}"]) },
    { plan = concat(keys(local.reads), ["plan-state"]) },
    { for role in keys(local.subjects) : role => [role] if role == "push" },
  )

  attachments = merge([for role, policies in local.attached : { for policy in policies : "${role}/${policy}" => { role = role, policy = policy } }]...)
}

resource "aws_iam_role" "this" {
  for_each = local.trust

  name                 = "totes-${each.key}"
  path                 = local.path
  description          = "For workflow runs with the subject ${local.subjects[each.key]}."
  assume_role_policy   = each.value
  max_session_duration = 7200 # making a database server takes half an hour
}

resource "aws_iam_policy" "this" {
  for_each = local.policies

  name   = "totes-${each.key}"
  path   = local.path
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })

  lifecycle {
    precondition {
      condition     = length(jsonencode({ Version = "2012-10-17", Statement = each.value })) <= 6144
      error_message = "The policy totes-${each.key} is longer than IAM allows; split it."
    }
  }
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = local.attachments

  role       = aws_iam_role.this[each.value.role].name
  policy_arn = aws_iam_policy.this[each.value.policy].arn
}
