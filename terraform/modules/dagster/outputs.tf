output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "cluster_arn" {
  description = "ARN of the ECS cluster."
  value       = aws_ecs_cluster.this.arn
}

output "namespace" {
  description = "The namespace that services are found in: its id and its name."
  value = {
    id   = aws_service_discovery_private_dns_namespace.this.id
    name = aws_service_discovery_private_dns_namespace.this.name
  }
}

output "data_environment" {
  description = "The settings of the databases and the lake, as runs have them."
  value       = merge(local.tls, local.data_environment)
}

output "data_policy" {
  description = "A policy, as JSON, that lets one read and write what these settings name, as runs may."
  value       = data.aws_iam_policy_document.data.json
}

output "service_names" {
  description = "Names of the services, by what they run."
  value       = { for key, service in aws_ecs_service.this : key => service.name }
}

output "run_task_definition" {
  description = "ARN of the task definition of runs."
  value       = aws_ecs_task_definition.run.arn
}

output "provision_task_definition" {
  description = "ARN of the task definition that makes databases and roles, and migrates what they hold."
  value       = aws_ecs_task_definition.task["provision"].arn
}

output "task_security_group_ids" {
  description = "Ids of the security groups, by the kind of task."
  value       = { for task, group in aws_security_group.task : task => group.id }
}

output "warehouse_client_security_group_ids" {
  description = "Of those, the ones of tasks that reach the warehouse."
  value       = local.clients.warehouse
}

output "run_security_group_ids" {
  description = "Of those, the ones of what does runs: their own tasks, and the code server if it forks them."
  value       = { for task in local.runs_are_tasks ? ["run"] : ["run", "code-server"] : task => aws_security_group.task[task].id }
}

output "storage_identifier" {
  description = "Name of the server of Dagster's storage, as CloudWatch has it; null where it existed before."
  value       = one(module.storage[*].identifier)
}

output "storage_instance_class" {
  description = "Class of that server, by which its alarms go."
  value       = one(module.storage[*].instance_class)
}

output "compute_logs_bucket" {
  description = "Name of the bucket that keeps what runs print."
  value       = module.compute_logs.name
}

output "url" {
  description = "Address of the UI; null without a load balancer."
  value       = local.url
}

output "load_balancer_dns_name" {
  description = "What the UI's host name has to be an alias of; null without a load balancer."
  value       = one(aws_lb.this[*].dns_name)
}

output "listener_arn" {
  description = "ARN of the load balancer's listener; null without a load balancer."
  value       = one(aws_lb_listener.https[*].arn)
}

output "load_balancer_security_group_id" {
  description = "Id of the load balancer's security group; null without a load balancer."
  value       = one(aws_security_group.load_balancer[*].id)
}
