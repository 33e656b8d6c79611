# The environment that the company's numbers come from: each thing twice where that matters, and nothing destroyed by
# mistake.

module "platform" {
  source = "../../modules/platform"

  name = "totes-prod"

  image                    = var.image
  image_repository_arn     = var.image_repository_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  source_database          = var.source_database
  alert_emails             = var.alert_emails
  analyst_cidr_blocks      = var.analyst_cidr_blocks
  load_balancer            = var.load_balancer
  runs                     = var.runs
  paused                   = var.paused

  network          = { endpoint_zones = 2 }
  warehouse_server = { instance_class = "db.t4g.medium", multi_az = true, allocated_storage = 50, max_allocated_storage = 500, backup_retention_days = 30 }
  storage_server   = { instance_class = "db.t4g.small", backup_retention_days = 14 }

  deletion_protection = true
  log_retention_days  = 90
}
