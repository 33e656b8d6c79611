# A role's login at a PostgreSQL server, as one secret that says everything a connection takes. The password is made on
# the way, and written where nobody reads it back: it is neither in Terraform's plan nor in its state.

ephemeral "aws_secretsmanager_random_password" "this" {
  password_length     = 40
  exclude_punctuation = true # so it needs no quoting, wherever it ends up
}

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
    password = ephemeral.aws_secretsmanager_random_password.this.random_password
  })
}
