# What a deployment does once Terraform is done: run a task, wait for it, print what it said, wait for the services.

locals {
  operate = [
    {
      Sid       = "RunTasks"
      Effect    = "Allow"
      Action    = ["ecs:RunTask"]
      Resource  = [local.ecs.recipes]
      Condition = { ArnEquals = { "ecs:cluster" = local.ecs.cluster } }
    },
    {
      Sid      = "WatchTasks"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTasks", "ecs:StopTask"]
      Resource = [local.ecs.tasks]
    },
    {
      Sid      = "ReadLogs"
      Effect   = "Allow"
      Action   = ["logs:GetLogEvents"]
      Resource = ["${local.arn.logs}:log-group:/${var.name}/*:log-stream:*"]
    },
  ]
}
