# GitHub as a provider of identities, and whom the roles trust: exactly one kind of workflow run each, by the token's
# subject. There are no keys to keep, leak or rotate.

resource "aws_iam_openid_connect_provider" "github" {
  count = var.existing_oidc_provider_arn == null ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  oidc_provider_arn = var.existing_oidc_provider_arn == null ? aws_iam_openid_connect_provider.github[0].arn : var.existing_oidc_provider_arn

  # As GitHub writes it into subjects: owner/name or owner@id/name@id. A repository's tokens have one form, and a name that
  # somebody else takes over later has other ids.
  repository = var.github_repository_ids == null ? var.github_repository : format(
    "%s@%d/%s@%d",
    split("/", var.github_repository)[0], var.github_repository_ids.owner,
    split("/", var.github_repository)[1], var.github_repository_ids.repository,
  )

  subjects = merge(
    { plan = "repo:${local.repository}:pull_request" },
    var.image_repository_arn == null ? { push = "repo:${local.repository}:ref:refs/heads/main" } : {},
    # Of what is merged, before anybody approves of its deployment.
    { for environment in var.environments : "preview-${environment}" => "repo:${local.repository}:ref:refs/heads/main" },
    { for environment in var.environments : "deploy-${environment}" => "repo:${local.repository}:environment:${environment}" },
  )

  trust = { for role, subject in local.subjects : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "GitHub"
      Effect    = "Allow"
      Principal = { Federated = local.oidc_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = subject
        }
      }
    }]
  }) }
}
