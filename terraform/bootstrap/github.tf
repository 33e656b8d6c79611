# GitHub as a provider of identities, and whom the roles trust: exactly one kind of workflow run each, by the token's
# subject. There are no keys to keep, leak or rotate.

resource "aws_iam_openid_connect_provider" "github" {
  count = var.existing_oidc_provider_arn == null ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  oidc_provider_arn = var.existing_oidc_provider_arn == null ? aws_iam_openid_connect_provider.github[0].arn : var.existing_oidc_provider_arn

  subjects = merge(
    {
      plan = "repo:${var.github_repository}:pull_request"
      push = "repo:${var.github_repository}:ref:refs/heads/main"
    },
    { for environment in var.environments : "deploy-${environment}" => "repo:${var.github_repository}:environment:${environment}" },
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
