# The warehouse's database server, and the logins of the loader and of the dashboard at it.

module "server" {
  source = "../postgres"

  name                      = "${var.name}-warehouse"
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  client_security_group_ids = var.client_security_group_ids
  client_cidr_blocks        = var.analyst_cidr_blocks
  kms_key_arn               = var.kms_key_arn
  settings                  = var.server
}

module "loader" {
  source = "../login"

  name                    = "${var.name}-warehouse-loader"
  description             = "The role that ${var.name} keeps its warehouse with."
  kms_key_arn             = var.kms_key_arn
  host                    = module.server.host
  port                    = module.server.port
  database                = "warehouse"
  username                = "warehouse_loader"
  password                = var.loader_password
  password_version        = var.password_version
  recovery_window_in_days = var.server.deletion_protection ? 30 : 0
}

module "dashboard" {
  source = "../login"
  count  = var.dashboard_enabled ? 1 : 0

  name                    = "${var.name}-warehouse-dashboard"
  description             = "The role that the dashboard of ${var.name} reads the warehouse with."
  kms_key_arn             = var.kms_key_arn
  host                    = module.server.host
  port                    = module.server.port
  database                = "warehouse"
  username                = "dashboard"
  password                = var.dashboard_password
  password_version        = var.password_version
  recovery_window_in_days = var.server.deletion_protection ? 30 : 0
}
