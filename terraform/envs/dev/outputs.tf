output "cluster" {
  description = "Name of the ECS cluster."
  value       = module.platform.cluster
}

output "service_names" {
  description = "Names of the ECS services."
  value       = module.platform.service_names
}

output "run_task_definition" {
  description = "ARN of the task definition of runs."
  value       = module.platform.run_task_definition
}

output "provision_task_definition" {
  description = "ARN of the task definition that makes databases and roles, and migrates what they hold."
  value       = module.platform.provision_task_definition
}

output "vpc_id" {
  description = "Id of the network, for attachments and peerings of others."
  value       = module.platform.vpc_id
}

output "private_route_table_id" {
  description = "Id of the route table of the private subnets, for routes of others."
  value       = module.platform.private_route_table_id
}

output "private_subnet_ids" {
  description = "Ids of the private subnets, for tasks that are started by hand."
  value       = module.platform.private_subnet_ids
}

output "task_security_group_ids" {
  description = "Ids of the security groups, by the kind of task."
  value       = module.platform.task_security_group_ids
}

output "log_group_names" {
  description = "Names of the log groups, by task."
  value       = module.platform.log_group_names
}

output "lake" {
  description = "Names of the lake's buckets, by zone."
  value       = module.platform.lake
}

output "landing_bucket" {
  description = "Name of the bucket that files from outside land in."
  value       = module.platform.landing_bucket
}

output "landing_kms_key_arn" {
  description = "ARN of that bucket's key, which senders of other accounts have to be allowed to use."
  value       = module.platform.landing_kms_key_arn
}

output "exchange_rates_function" {
  description = "Name of the function that fetches exchange rates; null if there is none."
  value       = module.platform.exchange_rates_function
}

output "compute_logs_bucket" {
  description = "Name of the bucket that keeps what runs print."
  value       = module.platform.compute_logs_bucket
}

output "alert_topic_arn" {
  description = "ARN of the topic that alerts go to."
  value       = module.platform.alert_topic_arn
}

output "warehouse_secret_arn" {
  description = "ARN of the secret with the loader's login of the warehouse."
  value       = module.platform.warehouse_secret_arn
}

output "warehouse_host" {
  description = "Host name of the warehouse's server; null where it existed before."
  value       = module.platform.warehouse_host
}

output "dashboard" {
  description = "Name of the dashboard in CloudWatch."
  value       = module.platform.dashboard
}

output "url" {
  description = "Address of the UI; null without a load balancer."
  value       = module.platform.url
}

output "dashboard_url" {
  description = "Address of the dashboard; null if there is none."
  value       = module.platform.dashboard_url
}

output "load_balancer_dns_name" {
  description = "What the UI's host name has to be an alias of; null without a load balancer."
  value       = module.platform.load_balancer_dns_name
}
