# The environment to try things in: small, and gone without a trace when it is destroyed.

# Made anew each time, and used only where a password is written: at first, and when password_version is raised.
ephemeral "aws_secretsmanager_random_password" "this" {
  for_each = toset(["warehouse", "storage", "dashboard"])

  password_length     = 40
  exclude_punctuation = true # so that it needs no quoting, wherever it ends up
}

locals {
  server = {
    allow_major_version_upgrade = var.postgres.allow_major_version_upgrade
    apply_immediately           = coalesce(var.postgres.apply_immediately, true) # who tries things does not wait for Sunday
  }
}

module "platform" {
  source = "../../modules/platform"

  name = "totes-dev"

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

  warehouse_server = merge(local.server, { engine_version = var.postgres.warehouse_version })
  storage_server   = merge(local.server, { engine_version = var.postgres.storage_version })

  deletion_protection = false
  log_retention_days  = 14
}
