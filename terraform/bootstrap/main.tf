# What an account needs before the environments can be deployed to it from GitHub: a place for Terraform's state, one for
# images, and roles for the workflows. An administrator applies this once; README.md says how.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  iam        = "arn:${local.partition}:iam::${local.account_id}"

  # By environment, what its names begin with.
  names = { for environment in var.environments : environment => "totes-${environment}" }

  # Outside the paths of the environments: none of their deploying roles can change what lies here.
  path = "/totes/"
}

module "rights" {
  source   = "./rights"
  for_each = local.names

  environment         = each.key
  name                = each.value
  partition           = local.partition
  region              = var.region
  account_id          = local.account_id
  boundary_arn        = aws_iam_policy.boundary[each.key].arn
  source_network      = try(var.source_databases[each.key].network, null)
  transit_gateway_arn = lookup(var.transit_gateways, each.key, null)
  replicated          = contains(keys(var.replications), each.key)
}
