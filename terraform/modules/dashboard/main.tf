# The dashboard on ECS Fargate: one small task, behind the load balancer of Dagster's UI and its login. It reads the
# warehouse with a role of its own, and can reach nothing else of the platform.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  account   = data.aws_caller_identity.current.account_id

  service_name = "${var.name}-dashboard"
  port         = 3001
  path         = "/dashboard"
  alive        = "${local.path}/alive" # answers without asking the warehouse

  environment = merge(
    {
      AWS_REGION                 = local.region
      AWS_DEFAULT_REGION         = local.region
      WAREHOUSE_READER_SECRET_ID = var.warehouse.secret_arn
      WAREHOUSE_SCHEMA           = var.warehouse.schema
      PGSSLMODE                  = var.ssl_mode
    },
    var.ssl_mode == "require" ? {} : { PGSSLROOTCERT = "/opt/totes/rds-ca.pem" },
  )

  container = {
    name                   = "dashboard"
    image                  = var.image
    command                = ["totes", "dashboard", "--host", "0.0.0.0", "--port", tostring(local.port), "--path", local.path, "--allow-host", var.load_balancer.host_name]
    environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    essential              = true
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    stopTimeout            = 30 # seconds; it ends within five, and its viewers reconnect
    linuxParameters        = { initProcessEnabled = true }
    mountPoints            = [{ sourceVolume = "scratch", containerPath = "/var/lib/totes", readOnly = false }]
    portMappings           = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
    systemControls         = []
    volumesFrom            = []
    secrets                = []
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${local.port}${local.alive}', timeout=5)"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 120
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "dashboard"
        "mode"                  = "non-blocking"
        "max-buffer-size"       = "25m"
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/dashboard"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.service_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])
  skip_destroy             = true # a service that is rolled back needs its revision

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "scratch"
  }
}

resource "aws_ecs_service" "this" {
  name                               = local.service_name
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.paused ? 0 : 1
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  health_check_grace_period_seconds  = 120

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "dashboard"
    container_port   = local.port
  }

  # ECS refuses a target group that no rule of a load balancer uses yet.
  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution, aws_lb_listener_rule.this]
}
