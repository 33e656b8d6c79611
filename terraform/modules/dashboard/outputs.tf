output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "security_group_id" {
  description = "Id of the security group of its task."
  value       = aws_security_group.this.id
}

output "log_group_name" {
  description = "Name of its log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "url" {
  description = "Its address."
  value       = "https://${var.load_balancer.host_name}${local.path}"
}
