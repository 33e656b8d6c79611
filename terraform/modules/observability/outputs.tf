output "topic_arn" {
  description = "ARN of the topic that alerts go to."
  value       = aws_sns_topic.alerts.arn
}

output "topic_kms_key_arn" {
  description = "ARN of the topic's key."
  value       = module.key.arn
}

output "log_group_names" {
  description = "Names of the log groups, by task."
  value       = { for task, group in aws_cloudwatch_log_group.task : task => group.name }
}

output "log_group_arns" {
  description = "ARNs of the log groups, by task."
  value       = { for task, group in aws_cloudwatch_log_group.task : task => group.arn }
}

output "dashboard_name" {
  description = "Name of the dashboard in CloudWatch."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
