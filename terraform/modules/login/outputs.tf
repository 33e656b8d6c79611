output "secret_arn" {
  description = "ARN of the secret, known once it has a value."
  value       = aws_secretsmanager_secret_version.this.arn
}
