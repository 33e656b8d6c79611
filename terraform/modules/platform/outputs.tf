output "cluster" {
  description = "Name of the ECS cluster."
  value       = module.dagster.cluster_name
}

output "service_names" {
  description = "Names of the ECS services that always run."
  value       = values(local.service_names)
}

output "run_task_definition" {
  description = "ARN of the task definition of runs."
  value       = module.dagster.run_task_definition
}

output "provision_task_definition" {
  description = "ARN of the task definition that makes databases and roles, and migrates what they hold."
  value       = module.dagster.provision_task_definition
}

output "vpc_id" {
  description = "Id of the network, for attachments and peerings of others."
  value       = module.network.vpc_id
}

output "private_route_table_id" {
  description = "Id of the route table of the private subnets, for routes of others."
  value       = module.network.private_route_table_id
}

output "private_subnet_ids" {
  description = "Ids of the private subnets, for tasks that are started by hand."
  value       = module.network.private_subnet_ids
}

output "task_security_group_ids" {
  description = "Ids of the security groups, by the kind of task."
  value       = module.dagster.task_security_group_ids
}

output "log_group_names" {
  description = "Names of the log groups, by task."
  value = merge(
    module.observability.log_group_names,
    { for dashboard in module.dashboard : "dashboard" => dashboard.log_group_name },
    [for workers in module.workers : workers.log_group_names]...
  )
}

output "lake" {
  description = "Names of the lake's buckets, by zone."
  value       = module.lake.bucket_names
}

output "landing_bucket" {
  description = "Name of the bucket that files from outside land in."
  value       = module.landing.bucket_name
}

output "landing_kms_key_arn" {
  description = "ARN of that bucket's key, which senders of other accounts have to be allowed to use."
  value       = module.landing.kms_key_arn
}

output "exchange_rates_function" {
  description = "Name of the function that fetches exchange rates; null if there is none."
  value       = one(module.exchange_rates[*].function_name)
}

output "compute_logs_bucket" {
  description = "Name of the bucket that keeps what runs print."
  value       = module.dagster.compute_logs_bucket
}

output "alert_topic_arn" {
  description = "ARN of the topic that alerts go to."
  value       = module.observability.topic_arn
}

output "warehouse_secret_arn" {
  description = "ARN of the secret with the loader's login of the warehouse."
  value       = var.existing_warehouse == null ? module.warehouse[0].secret_arn : var.existing_warehouse.secret_arn
}

output "warehouse_host" {
  description = "Host name of the warehouse's server; null where it existed before."
  value       = one(module.warehouse[*].host)
}

output "dashboard" {
  description = "Name of the dashboard in CloudWatch."
  value       = module.observability.dashboard_name
}

output "url" {
  description = "Address of the UI; null without a load balancer."
  value       = module.dagster.url
}

output "dashboard_url" {
  description = "Address of the dashboard; null if there is none."
  value       = one(module.dashboard[*].url)
}

output "load_balancer_dns_name" {
  description = "What the UI's host name has to be an alias of; null without a load balancer."
  value       = module.dagster.load_balancer_dns_name
}
