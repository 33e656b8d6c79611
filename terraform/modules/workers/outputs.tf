output "address" {
  description = "Address of the scheduler."
  value       = local.address
}

output "secret_arn" {
  description = "ARN of the secret with the certificate and the key, which the provisioning task fills."
  value       = aws_secretsmanager_secret.this.arn
}

output "service_name" {
  description = "Name of the ECS service of the workers, of which there are mostly none."
  value       = local.service_name
}

output "scheduler_service_name" {
  description = "Name of the ECS service of the scheduler."
  value       = aws_ecs_service.scheduler.name
}

output "security_group_id" {
  description = "Id of the security group of the workers."
  value       = aws_security_group.workers.id
}

output "log_group_names" {
  description = "Names of the log groups, by task."
  value       = { for task, group in aws_cloudwatch_log_group.this : task => group.name }
}
