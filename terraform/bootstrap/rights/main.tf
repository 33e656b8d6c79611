# What it takes to read and to change one environment with Terraform: IAM statements, and no resources. One file for each
# group of services; the names of the groups are those of the policies.
#
# Two things narrow every statement: names that begin with the environment's, or where AWS makes up the ids, the tag
# `Environment`. Where AWS offers neither, the resource is "*" or all of a type, and a comment says so.

locals {
  arn = { for service in [
    "application-autoscaling", "athena", "cloudwatch", "ec2", "ecs", "elasticloadbalancing", "events", "glue", "kms", "lambda", "logs", "rds",
    "scheduler", "secretsmanager", "servicediscovery", "sns",
  ] : service => "arn:${var.partition}:${service}:${var.region}:${var.account_id}" }

  buckets = "arn:${var.partition}:s3:::${var.name}-*"
  iam     = "arn:${var.partition}:iam::${var.account_id}"

  # An environment's things have its tag from the moment that they are made ...
  made_here = { StringEquals = { "aws:RequestTag/Environment" = var.environment } }
  # ... and only what has it can be changed.
  is_ours = { StringEquals = { "aws:ResourceTag/Environment" = var.environment } }
  # What has no such tag yet can be given it; what belongs to another environment cannot be taken from it.
  made_ours = {
    StringEquals         = { "aws:RequestTag/Environment" = var.environment }
    StringEqualsIfExists = { "aws:ResourceTag/Environment" = var.environment }
  }

  # By the policy that they go into; IAM allows each 6,144 characters.
  read = {
    foundations = concat(local.read_network, local.read_storage, local.read_databases, local.read_identity)
    services    = concat(local.read_compute, local.read_scaling, local.read_functions, local.read_observability, local.read_catalogue)
  }

  write = {
    network       = local.write_network
    storage       = local.write_storage
    databases     = concat(local.write_databases, local.write_functions, local.write_scaling)
    compute       = concat(local.write_compute, local.operate)
    observability = concat(local.write_observability, local.write_catalogue)
    identity      = local.write_identity
  }
}
