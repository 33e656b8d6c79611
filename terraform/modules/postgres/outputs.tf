output "identifier" {
  description = "The server's name, as CloudWatch has it."
  value       = aws_db_instance.this.identifier
}

output "instance_class" {
  description = "The server's class, by which its alarms go."
  value       = aws_db_instance.this.instance_class
}

output "host" {
  description = "The server's host name."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "The server's port."
  value       = aws_db_instance.this.port
}

output "administrator_secret_arn" {
  description = "ARN of the secret with the administrator's name and password, which RDS manages."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

output "security_group_id" {
  description = "Id of the server's security group."
  value       = aws_security_group.this.id
}
