# A role's login at a PostgreSQL server, as one secret that says everything a connection takes. The password is written where
# nobody reads it back: it is neither in Terraform's plan nor in its state.

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = var.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_in_days
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id                = aws_secretsmanager_secret.this.id
  secret_string_wo_version = var.password_version
  secret_string_wo = jsonencode({
    host     = var.host
    port     = var.port
    database = var.database
    username = var.username
    password = var.password
  })
}
