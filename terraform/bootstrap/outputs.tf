output "state_bucket" {
  description = "Name of the bucket of Terraform's state."
  value       = aws_s3_bucket.state.bucket
}

output "image_repository_url" {
  description = "Where images are pushed to and pulled from, without a tag."
  value       = format("%s.dkr.ecr.%s.amazonaws.com/%s", split(":", local.image_repository_arn)[4], var.region, split("repository/", local.image_repository_arn)[1])
}

output "image_repository_arn" {
  description = "ARN of the repository of images."
  value       = local.image_repository_arn
}

output "boundary_arns" {
  description = "By environment, the permissions boundary of every role in it; its variable permissions_boundary_arn."
  value       = { for environment, policy in aws_iam_policy.boundary : environment => policy.arn }
}

output "role_arns" {
  description = "ARNs of the workflows' roles: plan, push where the repository of images is, preview-<environment> and deploy-<environment>."
  value       = { for role, resource in aws_iam_role.this : role => resource.arn }
}

output "plan_actions" {
  description = "All actions that a plan may take on an environment: what reading it takes."
  value       = distinct(flatten(values(module.rights)[*].plan_actions))
}

output "deploy_actions" {
  description = "All actions that a deployment may take on its environment: to read, to change, to run tasks."
  value       = distinct(flatten(values(module.rights)[*].deploy_actions))
}

output "github_variables" {
  description = "What the workflows read from variables of the repository or, where it has an account of its own, of the environment, except for the environments' own (TFVARS_DEV, TFVARS_PROD)."
  value = {
    AWS_ACCOUNT_ID  = local.account_id
    AWS_REGION      = var.region
    TF_STATE_BUCKET = aws_s3_bucket.state.bucket
  }
}

output "policies" {
  description = "By name, the documents of all policies, for whoever wants to check them."
  value       = merge({ for name, policy in aws_iam_policy.this : name => policy.policy }, { for environment, policy in aws_iam_policy.boundary : "boundary-${environment}" => policy.policy }, { for environment, policy in aws_iam_role_policy.backup : "backup-${environment}" => policy.policy })
}

output "backup_vaults" {
  description = "By environment, the name of the vault with the backups of its databases."
  value       = { for environment, vault in aws_backup_vault.this : environment => vault.name }
}
