# A PostgreSQL server on RDS: private, encrypted, asked only by TLS, backed up. Its administrator's password is RDS's own
# affair: it makes, keeps and rotates it, and neither Terraform nor its state ever sees it.

locals {
  major   = split(".", var.settings.engine_version)[0]
  exports = ["postgresql", "upgrade"]
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "The database server ${var.name}: PostgreSQL from those who are named, nothing else."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.client_security_group_ids

  description                  = "PostgreSQL from ${each.key}"
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_ingress_rule" "analysts" {
  for_each = toset(var.client_cidr_blocks)

  description       = "PostgreSQL from analysts and their tools"
  security_group_id = aws_security_group.this.id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 5432
  to_port           = 5432
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres${local.major}"
  family      = "postgres${local.major}"
  description = "What ${var.name} sets."

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "password_encryption"
    value = "scram-sha-256"
  }

  parameter {
    name  = "log_min_duration_statement" # milliseconds
    value = "5000"
  }

  parameter {
    name  = "log_lock_waits"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true # an upgrade needs another family, while the server still uses this one
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(local.exports)

  name              = "/aws/rds/instance/${var.name}/${each.key}" # RDS's own name for it
  retention_in_days = var.settings.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.settings.engine_version
  instance_class = var.settings.instance_class

  storage_type          = "gp3"
  allocated_storage     = var.settings.allocated_storage
  max_allocated_storage = var.settings.max_allocated_storage
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  username                      = "administrator"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.kms_key_arn

  parameter_group_name   = aws_db_parameter_group.this.name
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false

  # For people: a login that lasts a quarter of an hour, for roles that are granted `rds_iam`.
  iam_database_authentication_enabled = true

  ca_cert_identifier = "rds-ca-rsa2048-g1"
  multi_az           = var.settings.multi_az

  backup_retention_period   = var.settings.backup_retention_days
  backup_window             = "01:00-02:00" # before the nightly reconciliation
  maintenance_window        = "sun:04:00-sun:05:00"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = !var.settings.deletion_protection
  deletion_protection       = var.settings.deletion_protection
  skip_final_snapshot       = !var.settings.deletion_protection
  final_snapshot_identifier = var.settings.deletion_protection ? "${var.name}-final" : null

  auto_minor_version_upgrade      = true
  allow_major_version_upgrade     = var.settings.allow_major_version_upgrade
  apply_immediately               = var.settings.apply_immediately
  enabled_cloudwatch_logs_exports = local.exports
  performance_insights_enabled    = var.settings.performance_insights
  performance_insights_kms_key_id = var.settings.performance_insights ? var.kms_key_arn : null

  depends_on = [aws_cloudwatch_log_group.this] # or RDS makes them itself, kept for ever
}
