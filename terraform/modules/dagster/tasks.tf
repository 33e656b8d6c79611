# Task definitions: a container each, with the sizes and the roles of its task.

# `provision` is started by whoever deploys, once after every apply: it makes databases and roles, and migrates what they
# hold.
resource "aws_ecs_task_definition" "task" {
  for_each = toset(["webserver", "daemon", "code-server", "provision"])

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.sizes[each.key].cpu
  memory                   = local.sizes[each.key].memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task[each.key].arn
  skip_destroy             = true # see below
  container_definitions = jsonencode([merge(local.definitions[each.key], {
    environment = concat(local.definitions[each.key].environment, local.launching[each.key])
  })])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "scratch"
  }
}

# Fixed: EcsRunLauncher starts it as it is, but for the command, and nobody needs the right to register another.
resource "aws_ecs_task_definition" "run" {
  family                   = "${var.name}-run"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.sizes.run.cpu
  memory                   = local.sizes.run.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task["run"].arn
  container_definitions    = jsonencode([local.definitions.run])

  # A revision that was deregistered can start no task. Daemon and webserver launch runs by the revision that they were
  # deployed with, also while they are replaced, and after a rollback.
  skip_destroy = true

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "scratch"
  }
}

locals {
  # By its revision: when the run's task definition changes, those that launch it are deployed anew.
  launching = {
    for task in ["webserver", "daemon", "code-server", "provision"] : task => local.runs_are_tasks && contains(["webserver", "daemon"], task) ? [
      { name = "DAGSTER_RUN_TASK_DEFINITION", value = aws_ecs_task_definition.run.arn },
      { name = "DAGSTER_RUN_CLUSTER", value = aws_ecs_cluster.this.name },
      { name = "DAGSTER_RUN_SUBNETS", value = join(",", var.private_subnet_ids) },
      { name = "DAGSTER_RUN_SECURITY_GROUP", value = aws_security_group.task["run"].id },
    ] : []
  }

  sizes = merge(var.sizes, { provision = { cpu = 512, memory = 1024 } }, local.runs_are_tasks ? {} : {
    # Runs are its children then, and share what it has.
    "code-server" = { cpu = var.sizes.run.cpu, memory = var.sizes.run.memory }
  })

  definitions = {
    for task, container in local.containers : task => merge(
      local.base,
      { for key, value in container : key => value if key != "environment" },
      {
        name             = task
        environment      = [for name in sort(keys(container.environment)) : { name = name, value = container.environment[name] }]
        logConfiguration = local.logs_to[task]
      },
    )
  }
}
