# Workers that take a share of large batches: a Dask cluster of a scheduler, which always runs, and of workers, of which
# there are mostly none. A run asks for them before a large batch, and scaling.tf takes them away. Nothing depends on them:
# what they do not do, the run does.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  account   = data.aws_caller_identity.current.account_id

  port        = 8786
  health_port = 8787 # answers HTTP, and no security group lets anybody ask it but the task itself
  address     = "tls://scheduler.${var.namespace.name}:${local.port}"

  # Spelt out: runs are told of the service, and need not wait for it.
  service_name = "${var.name}-workers"

  common = {
    AWS_REGION              = local.region
    AWS_DEFAULT_REGION      = local.region
    TOTES_WORKERS_SECRET_ID = aws_secretsmanager_secret.this.arn
  }

  tasks = {
    scheduler = {
      size         = var.scheduler_size
      command      = ["totes", "cluster", "scheduler", "--host", "0.0.0.0", "--port", tostring(local.port)]
      environment  = local.common
      portMappings = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
      healthCheck = {
        command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${local.health_port}/health', timeout=5)"]
        interval    = 30
        timeout     = 10
        retries     = 3
        startPeriod = 120
      }
    }
    # Several in one task would share its memory, and be lost together.
    workers = {
      size         = { cpu = var.workers.cpu, memory = var.workers.memory }
      command      = ["totes", "cluster", "worker", local.address, "--workers", "1"]
      environment  = merge(var.environment, local.common)
      portMappings = []
    }
  }

  containers = { for task, container in local.tasks : task => merge(
    {
      name                   = task
      image                  = var.image
      essential              = true
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      stopTimeout            = 30 # seconds; both end at once, and what a worker was doing is given to another
      linuxParameters        = { initProcessEnabled = true }
      mountPoints            = [{ sourceVolume = "scratch", containerPath = "/var/lib/totes", readOnly = false }]
      systemControls         = []
      volumesFrom            = []
      secrets                = []
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.this[task].name
          "awslogs-region"        = local.region
          "awslogs-stream-prefix" = task
          "mode"                  = "non-blocking"
          "max-buffer-size"       = "25m"
        }
      }
    },
    { for key, value in container : key => value if !contains(["size", "environment"], key) },
    { environment = [for name in sort(keys(container.environment)) : { name = name, value = container.environment[name] }] },
  ) }
}

# Who has it may run code on every worker, so Terraform never sees what is in it: the provisioning task fills it. A new one
# is made in a moment, so nothing is kept of one that is deleted, and its name is free at once.
resource "aws_secretsmanager_secret" "this" {
  name                    = "${var.name}-workers"
  description             = "What the workers of ${var.name}, their scheduler and runs prove to one another: JSON with certificate and key."
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 0
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["scheduler", "workers"])

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_service_discovery_service" "scheduler" {
  name        = "scheduler"
  description = "The scheduler of the workers of ${var.name}."

  dns_config {
    namespace_id   = var.namespace.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  health_check_custom_config {
    failure_threshold = 1
  }

  force_destroy = true # ECS registers instances, and deregisters them a little later than it says
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.tasks

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.size.cpu
  memory                   = each.value.size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task[each.key].arn
  container_definitions    = jsonencode([local.containers[each.key]])
  skip_destroy             = true # a service that is rolled back needs its revision

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "scratch"
  }
}

resource "aws_ecs_service" "scheduler" {
  name             = "${var.name}-scheduler"
  cluster          = var.cluster.arn
  task_definition  = aws_ecs_task_definition.this["scheduler"].arn
  desired_count    = var.paused ? 0 : 1
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  # Of two schedulers under one name, each would have some of the workers: the old one is gone before the new one starts.
  # There is no circuit breaker: until the provisioning has filled the secret, no task gets far, and ECS is to try again.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.scheduler.id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.scheduler.arn
  }

  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution]
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = var.cluster.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_ecs_service" "workers" {
  name                               = local.service_name
  cluster                            = var.cluster.arn
  task_definition                    = aws_ecs_task_definition.this["workers"].arn
  desired_count                      = 0
  platform_version                   = "LATEST"
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  # ECS waits for Spot where there is none, and takes no other instead. So the first worker is one that is to be had: a
  # batch always gets a worker, and most of them at Spot's price.
  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = 1
    weight            = 0
  }

  capacity_provider_strategy {
    capacity_provider = "FARGATE_SPOT"
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.workers.id]
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [desired_count] # runs ask for workers, and scaling.tf takes them away
  }

  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution, aws_ecs_cluster_capacity_providers.this]
}
