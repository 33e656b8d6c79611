# What Dagster keeps: runs, events and cursors in PostgreSQL, what runs print in a bucket. Losing either loses no data of
# the platform.

module "storage" {
  source = "../postgres"
  count  = var.existing_storage == null ? 1 : 0

  name                      = "${var.name}-dagster"
  vpc_id                    = var.vpc_id
  subnet_ids                = var.private_subnet_ids
  client_security_group_ids = local.clients.storage
  kms_key_arn               = var.kms_key_arn
  settings                  = var.storage_server
}

module "storage_login" {
  source = "../login"
  count  = var.existing_storage == null ? 1 : 0

  name                    = "${var.name}-dagster-storage"
  description             = "The role that ${var.name} keeps Dagster's storage with."
  kms_key_arn             = var.kms_key_arn
  host                    = module.storage[0].host
  port                    = module.storage[0].port
  database                = "dagster"
  username                = "dagster"
  password                = var.storage_password
  password_version        = var.password_version
  recovery_window_in_days = var.storage_server.deletion_protection ? 30 : 0
}

locals {
  storage = var.existing_storage != null ? merge(var.existing_storage, {
    secret_kms_key_arn = coalesce(var.existing_storage.secret_kms_key_arn, var.kms_key_arn)
    }) : {
    host               = module.storage[0].host
    port               = module.storage[0].port
    database           = "dagster"
    username           = "dagster"
    secret_arn         = module.storage_login[0].secret_arn
    secret_kms_key_arn = var.kms_key_arn
  }
}

module "compute_logs" {
  source = "../bucket"

  name            = "${var.name}-compute-logs-${var.suffix}"
  kms_key_arn     = var.kms_key_arn
  noncurrent_days = 7
  expire_days     = 90 # as long as Dagster keeps the runs themselves
  force_destroy   = var.force_destroy
}
