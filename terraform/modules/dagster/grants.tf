# What there is to be granted to tasks, one thing at a time; roles.tf says who gets what.

locals {
  logins = compact([var.source_secret_arn, var.warehouse.secret_arn])
  secret_keys = distinct(compact([
    var.kms_key_arn, var.source_secret_kms_key_arn, var.warehouse.secret_kms_key_arn,
  ]))
  zones = values(var.lake.bucket_arns)

  # Statements by what they grant: actions, on what, under which conditions.
  statements = merge(local.statements_of_all, { for grant, statements in local.statements_of_workers : grant => statements if var.workers != null })

  # If there are workers to share large batches with.
  statements_of_workers = {
    ask_for_workers = [
      {
        sid       = "ReadTheCredentialsOfWorkers"
        actions   = ["secretsmanager:GetSecretValue"]
        resources = [try(var.workers.secret_arn, "")]
      },
      {
        sid       = "SeeWorkers"
        actions   = ["ecs:DescribeServices"]
        resources = [local.workers_service_arn]
      },
      {
        # So many of them as one likes, but no other tasks in their place.
        sid       = "AskForWorkers"
        actions   = ["ecs:UpdateService"]
        resources = [local.workers_service_arn]
        conditions = [
          local.in_this_cluster,
          {
            test     = "ArnLikeIfExists"
            variable = "ecs:task-definition"
            values   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${try(var.workers.service_name, "")}:*"]
          },
          { test = "StringEqualsIfExists", variable = "ecs:enable-execute-command", values = ["false"] },
        ]
      },
    ]
    fill_credentials_of_workers = [
      {
        sid       = "FillTheCredentialsOfWorkers"
        actions   = ["secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue"]
        resources = [try(var.workers.secret_arn, "")]
      },
      { sid = "EncryptTheCredentialsOfWorkers", actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [var.kms_key_arn] },
    ]
  }

  workers_service_arn = "arn:${local.partition}:ecs:${local.region}:${local.account}:service/${var.name}/${try(var.workers.service_name, "")}"

  statements_of_all = {
    read_source_login = [
      { sid = "ReadTheLoginOfTheSource", actions = ["secretsmanager:GetSecretValue"], resources = [var.source_secret_arn] },
      { sid = "DecryptTheLoginOfTheSource", actions = ["kms:Decrypt"], resources = local.secret_keys },
    ]
    read_logins = [
      { sid = "ReadLogins", actions = ["secretsmanager:GetSecretValue"], resources = local.logins },
      { sid = "DecryptLogins", actions = ["kms:Decrypt"], resources = local.secret_keys },
    ]
    read_warehouse_login = [
      { sid = "ReadTheLoginOfTheWarehouse", actions = ["secretsmanager:GetSecretValue"], resources = [var.warehouse.secret_arn] },
      { sid = "DecryptTheLoginOfTheWarehouse", actions = ["kms:Decrypt"], resources = local.secret_keys },
    ]
    read_administrator_logins = [
      {
        sid       = "ReadLoginsOfAdministrators"
        actions   = ["secretsmanager:GetSecretValue"]
        resources = concat(compact(values(local.provisioning)), [local.storage.secret_arn])
      },
    ]

    read_lake = [
      { sid = "ListTheLake", actions = ["s3:ListBucket"], resources = local.zones },
      { sid = "ReadTheLake", actions = ["s3:GetObject"], resources = [for zone in local.zones : "${zone}/*"] },
      { sid = "DecryptTheLake", actions = ["kms:Decrypt"], resources = [var.lake.kms_key_arn] },
    ]
    write_lake = [
      { sid = "ListTheLake", actions = ["s3:ListBucket"], resources = local.zones },
      { sid = "ReadAndCreateInTheLake", actions = ["s3:GetObject", "s3:PutObject"], resources = [for zone in local.zones : "${zone}/*"] },
      { sid = "EncryptTheLake", actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [var.lake.kms_key_arn] },
    ]

    read_landing = [
      { sid = "ListTheLandingBucket", actions = ["s3:ListBucket"], resources = [var.landing.bucket_arn] },
      { sid = "ReadTheLandingBucket", actions = ["s3:GetObject"], resources = ["${var.landing.bucket_arn}/*"] },
      { sid = "DecryptTheLandingBucket", actions = ["kms:Decrypt"], resources = [var.landing.kms_key_arn] },
    ]

    read_compute_logs = [
      { sid = "ListComputeLogs", actions = ["s3:ListBucket"], resources = [module.compute_logs.arn] },
      { sid = "ReadComputeLogs", actions = ["s3:GetObject"], resources = ["${module.compute_logs.arn}/*"] },
      { sid = "DecryptComputeLogs", actions = ["kms:Decrypt"], resources = [var.kms_key_arn] },
    ]
    write_compute_logs = [
      { sid = "ListOwnComputeLogs", actions = ["s3:ListBucket"], resources = [module.compute_logs.arn] },
      { sid = "WriteComputeLogs", actions = ["s3:GetObject", "s3:PutObject"], resources = ["${module.compute_logs.arn}/*"] },
      { sid = "EncryptComputeLogs", actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [var.kms_key_arn] },
    ]
    prune_compute_logs = [
      { sid = "PruneComputeLogs", actions = ["s3:DeleteObject"], resources = ["${module.compute_logs.arn}/*"] },
    ]

    publish_alerts = [
      { sid = "PublishAlerts", actions = ["sns:Publish"], resources = [var.alert_topic_arn] },
      { sid = "EncryptAlerts", actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [var.alert_topic_kms_key_arn] },
    ]

    # Of AWS Systems Manager, which the port is forwarded by.
    forward_ports = [
      {
        sid = "ForwardPorts"
        actions = [
          "ssmmessages:CreateControlChannel",
          "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel",
          "ssmmessages:OpenDataChannel",
        ]
        resources = ["*"] # channels have no names before they are there: AWS offers nothing finer
      },
    ]

    watch_tasks = [
      {
        sid       = "KnowTaskDefinitions"
        actions   = ["ecs:DescribeTaskDefinition"]
        resources = ["*"] # AWS offers nothing finer
      },
      {
        sid        = "WatchTasks"
        actions    = ["ecs:DescribeTasks"]
        resources  = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task/${var.name}/*"]
        conditions = [local.in_this_cluster]
      },
    ]
    stop_runs = [
      {
        sid        = "StopRuns"
        actions    = ["ecs:StopTask"]
        resources  = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task/${var.name}/*"]
        conditions = [local.in_this_cluster]
      },
    ]
    launch_runs = [
      {
        sid        = "LaunchRuns"
        actions    = ["ecs:RunTask"]
        resources  = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${var.name}-run:*"]
        conditions = [local.in_this_cluster]
      },
      {
        sid        = "TagRunsWhenLaunched"
        actions    = ["ecs:TagResource"]
        resources  = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task/${var.name}/*"]
        conditions = [{ test = "StringEquals", variable = "ecs:CreateAction", values = ["RunTask"] }]
      },
      {
        sid        = "GiveRunsTheirRoles"
        actions    = ["iam:PassRole"]
        resources  = [local.role_arns.run, local.role_arns.execution]
        conditions = [{ test = "StringEquals", variable = "iam:PassedToService", values = ["ecs-tasks.amazonaws.com"] }]
      },
    ]
    read_run_logs = [
      { sid = "SayWhyARunDied", actions = ["logs:GetLogEvents"], resources = ["${var.log_group_arns.run}:*"] },
    ]
  }

  in_this_cluster = { test = "ArnEquals", variable = "ecs:cluster", values = [aws_ecs_cluster.this.arn] }

  # Spelt out: a role that may pass a role would otherwise wait for it, and that one for this one.
  role_arns = {
    run       = "arn:${local.partition}:iam::${local.account}:role/${var.name}/${var.name}-run"
    execution = "arn:${local.partition}:iam::${local.account}:role/${var.name}/${var.name}-execution"
  }
}

data "aws_iam_policy_document" "grant" {
  for_each = local.statements

  dynamic "statement" {
    for_each = each.value

    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = try(statement.value.conditions, [])

        content {
          test     = condition.value.test
          variable = condition.value.variable
          values   = condition.value.values
        }
      }
    }
  }
}
