# The environment to try things in: small, and gone without a trace when it is destroyed.

module "platform" {
  source = "../../modules/platform"

  name = "totes-dev"

  image                    = var.image
  image_repository_arn     = var.image_repository_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  source_database          = var.source_database
  alert_emails             = var.alert_emails
  analyst_cidr_blocks      = var.analyst_cidr_blocks
  load_balancer            = var.load_balancer
  runs                     = var.runs
  paused                   = var.paused

  deletion_protection = false
  log_retention_days  = 14
}
