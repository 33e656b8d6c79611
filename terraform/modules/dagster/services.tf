# The three services. A deployment that does not become healthy goes back to what ran before.

locals {
  services = {
    # One stays while the next one starts.
    webserver = { minimum = 100, maximum = 200, grace = local.public ? 120 : null }
    # Two daemons would both launch what is due: the old one is gone before the new one starts.
    daemon      = { minimum = 0, maximum = 100, grace = null }
    code-server = { minimum = 100, maximum = 200, grace = null }
  }
}

resource "aws_ecs_service" "this" {
  for_each = local.services

  name                               = "${var.name}-${each.key}"
  cluster                            = aws_ecs_cluster.this.arn
  task_definition                    = aws_ecs_task_definition.task[each.key].arn
  desired_count                      = var.paused ? 0 : 1
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  deployment_minimum_healthy_percent = each.value.minimum
  deployment_maximum_percent         = each.value.maximum
  enable_execute_command             = each.key == "webserver" && var.port_forwarding # which goes through it
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  health_check_grace_period_seconds  = each.value.grace

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.task[each.key].id]
    assign_public_ip = false
  }

  dynamic "service_registries" {
    for_each = each.key == "code-server" ? [aws_service_discovery_service.code_server.arn] : []

    content {
      registry_arn = service_registries.value
    }
  }

  dynamic "load_balancer" {
    for_each = each.key == "webserver" ? aws_lb_target_group.this : []

    content {
      target_group_arn = load_balancer.value.arn
      container_name   = "webserver"
      container_port   = local.webserver_port
    }
  }

  # A service whose tasks cannot do their work yet would be rolled back.
  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution, aws_lb_listener.https]
}
