# Dagster on ECS Fargate: webserver, daemon and code server as services, and one task for each run. One image, several
# commands. Nothing listens to the internet; see load_balancer.tf for the exception.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  account   = data.aws_caller_identity.current.account_id

  webserver_port   = 3000
  code_server_port = 4000
  code_server_host = "code-server.${aws_service_discovery_private_dns_namespace.this.name}"

  # Runs are tasks of their own, by EcsRunLauncher, or forked by a code server that has imported everything.
  runs_are_tasks = var.runs == "tasks"
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights ? "enabled" : "disabled"
  }
}

# How the webserver and the daemon find the code server, wherever it runs at the moment.
resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "Services of ${var.name}."
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "code_server" {
  name        = "code-server"
  description = "Dagster's code server of ${var.name}."

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  # So that only a code server that is healthy is found.
  health_check_custom_config {
    failure_threshold = 1
  }

  force_destroy = true # ECS registers instances, and deregisters them a little later than it says
}
