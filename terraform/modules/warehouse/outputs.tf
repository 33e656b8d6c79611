output "secret_arn" {
  description = "ARN of the secret with the loader's login."
  value       = module.loader.secret_arn
}

output "dashboard_secret_arn" {
  description = "ARN of the secret with the dashboard's login; null without a dashboard."
  value       = one(module.dashboard[*].secret_arn)
}

output "administrator_secret_arn" {
  description = "ARN of the secret with the administrator's name and password, which RDS manages."
  value       = module.server.administrator_secret_arn
}

output "identifier" {
  description = "The server's name, as CloudWatch has it."
  value       = module.server.identifier
}

output "instance_class" {
  description = "The server's class, by which its alarms go."
  value       = module.server.instance_class
}

output "host" {
  description = "The server's host name."
  value       = module.server.host
}

output "security_group_id" {
  description = "Id of the server's security group."
  value       = module.server.security_group_id
}
