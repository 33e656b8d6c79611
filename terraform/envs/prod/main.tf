# The environment that the company's numbers come from: each thing twice where that matters, and nothing destroyed by
# mistake.

# Made anew each time, and used only where a password is written: at first, and when password_version is raised.
ephemeral "aws_secretsmanager_random_password" "this" {
  for_each = toset(["warehouse", "storage", "dashboard"])

  password_length     = 40
  exclude_punctuation = true # so that it needs no quoting, wherever it ends up
}

locals {
  server = {
    allow_major_version_upgrade = var.postgres.allow_major_version_upgrade
    apply_immediately           = coalesce(var.postgres.apply_immediately, false) # what interrupts it waits for the maintenance window
  }
}

module "platform" {
  source = "../../modules/platform"

  name = "totes-prod"

  image                    = var.image
  provisioning_image       = var.provisioning_image
  image_repository_arn     = var.image_repository_arn
  architecture             = var.architecture
  permissions_boundary_arn = var.permissions_boundary_arn
  source_database          = var.source_database
  existing_warehouse       = var.existing_warehouse
  existing_storage         = var.existing_storage
  ssl_mode                 = var.ssl_mode
  alert_emails             = var.alert_emails
  alert_subscriptions      = var.alert_subscriptions
  monthly_budget           = var.monthly_budget
  budget_of_account        = var.budget_of_account
  analyst_cidr_blocks      = var.analyst_cidr_blocks
  transit_gateway          = var.transit_gateway
  object_lock_days         = var.object_lock_days
  replication              = var.replication
  landing_senders          = var.landing_senders
  landing_expire_days      = var.landing_expire_days
  exchange_rates           = var.exchange_rates
  load_balancer            = var.load_balancer
  port_forwarding          = var.port_forwarding
  dashboard_enabled        = var.dashboard_enabled
  runs                     = var.runs
  workers                  = var.workers
  paused                   = var.paused
  password_version         = var.password_version
  passwords                = { for role, made in ephemeral.aws_secretsmanager_random_password.this : role => made.random_password }

  network = { endpoint_zones = 2 }

  warehouse_server = merge(local.server, {
    engine_version        = var.postgres.warehouse_version
    instance_class        = "db.t4g.medium"
    multi_az              = true
    allocated_storage     = 50
    max_allocated_storage = 500
    backup_retention_days = 30
  })
  storage_server = merge(local.server, {
    engine_version        = var.postgres.storage_version
    instance_class        = "db.t4g.small"
    backup_retention_days = 14
  })

  deletion_protection = true
  log_retention_days  = 90
}
