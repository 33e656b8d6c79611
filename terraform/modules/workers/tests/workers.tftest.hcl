# What workers are made of, who reaches them, what they may do, and that none is left behind.

mock_provider "aws" {
  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
  }
  override_data {
    target = data.aws_region.current
    values = { name = "eu-west-2" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/totes-test/mocked" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:task-definition/totes-test-mocked:1" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-west-2:123456789012:service/srv-mocked" }
  }
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-2:123456789012:scalingPolicy:mocked" }
  }
}

variables {
  name                        = "totes-test"
  image                       = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  image_repository_arn        = "arn:aws:ecr:eu-west-2:123456789012:repository/totes_dagster"
  cluster                     = { name = "totes-test", arn = "arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test" }
  namespace                   = { id = "ns-1", name = "totes-test.internal" }
  vpc_id                      = "vpc-1"
  private_subnet_ids          = ["subnet-1", "subnet-2"]
  endpoints_security_group_id = "sg-endpoints"
  s3_prefix_list_id           = "pl-s3"
  run_security_group_ids      = { run = "sg-runs" }
  database_addresses          = { source = { cidr_block = "10.1.0.0/24" } }
  database_security_group_ids = { warehouse = "sg-warehouse" }
  environment                 = { TOTES_PROCESSED_LAKE = "s3://totes-test-processed", PGSSLMODE = "verify-full" }
  data_policy                 = "{}"
  kms_key_arn                 = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "there_are_none_until_a_run_asks_for_them" {
  assert {
    condition     = aws_ecs_service.workers.desired_count == 0 && aws_ecs_service.scheduler.desired_count == 1
    error_message = "The scheduler waits for workers, and there are none."
  }

  assert {
    condition = toset([for strategy in aws_ecs_service.workers.capacity_provider_strategy : "${strategy.capacity_provider} ${coalesce(strategy.base, 0)} ${coalesce(strategy.weight, 0)}"]) == toset([
      "FARGATE 1 0",
      "FARGATE_SPOT 0 1",
    ])
    error_message = "One worker can always be had, and the others are on Spot."
  }

  assert {
    condition     = toset(aws_ecs_cluster_capacity_providers.this.capacity_providers) == toset(["FARGATE", "FARGATE_SPOT"])
    error_message = "The cluster cannot start what the service asks for."
  }
}

run "idle_workers_are_taken_away_and_none_is_started" {
  assert {
    condition     = aws_appautoscaling_target.workers.resource_id == "service/totes-test/totes-test-workers" && aws_appautoscaling_target.workers.min_capacity == 0 && aws_appautoscaling_target.workers.max_capacity == 8
    error_message = "The service has from none to as many workers as a batch is given."
  }

  assert {
    condition = alltrue([
      for configuration in aws_appautoscaling_policy.stop.step_scaling_policy_configuration :
      configuration.adjustment_type == "ExactCapacity" && [for step in configuration.step_adjustment : step.scaling_adjustment] == [0]
    ])
    error_message = "The policy leaves workers, or starts some."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.idle.alarm_actions == toset([aws_appautoscaling_policy.stop.arn]) &&
      aws_cloudwatch_metric_alarm.idle.comparison_operator == "LessThanThreshold" &&
      aws_cloudwatch_metric_alarm.idle.period * aws_cloudwatch_metric_alarm.idle.evaluation_periods == 15 * 60 &&
      aws_cloudwatch_metric_alarm.idle.datapoints_to_alarm == null &&
      aws_cloudwatch_metric_alarm.idle.treat_missing_data == "notBreaching" &&
      aws_cloudwatch_metric_alarm.idle.dimensions == tomap({ ClusterName = "totes-test", ServiceName = "totes-test-workers" })
    )
    error_message = "They are taken away after a quarter of an hour without work, and not before."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle.statistic == "Maximum" && aws_cloudwatch_metric_alarm.idle.threshold == 10
    error_message = "One that works keeps the others."
  }
}

run "a_larger_worker_is_idle_at_the_same_share_of_a_core" {
  variables {
    workers = { count = 20, cpu = 4096, memory = 30720 }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle.threshold == 2.5 && aws_appautoscaling_target.workers.max_capacity == 20
    error_message = "A worker of four cores that is busy with one would be taken for idle, or the other way round."
  }

  assert {
    condition     = aws_ecs_task_definition.this["workers"].cpu == "4096" && aws_ecs_task_definition.this["workers"].memory == "30720" && aws_ecs_task_definition.this["scheduler"].cpu == "256"
    error_message = "The size is that of workers."
  }
}

run "workers_find_the_scheduler_and_the_data" {
  assert {
    condition = (
      output.address == "tls://scheduler.totes-test.internal:8786" &&
      join(" ", local.containers.workers.command) == "totes cluster worker tls://scheduler.totes-test.internal:8786 --workers 1" &&
      join(" ", local.containers.scheduler.command) == "totes cluster scheduler --host 0.0.0.0 --port 8786" &&
      aws_service_discovery_service.scheduler.name == "scheduler" && one(aws_service_discovery_service.scheduler.dns_config).namespace_id == "ns-1" &&
      one(aws_ecs_service.scheduler.service_registries).registry_arn == aws_service_discovery_service.scheduler.arn
    )
    error_message = "The scheduler listens elsewhere than where workers ask."
  }

  assert {
    condition = { for task, container in local.containers : task => { for entry in container.environment : entry.name => entry.value } } == {
      scheduler = {
        AWS_REGION              = "eu-west-2"
        AWS_DEFAULT_REGION      = "eu-west-2"
        TOTES_WORKERS_SECRET_ID = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf"
      }
      workers = {
        AWS_REGION              = "eu-west-2"
        AWS_DEFAULT_REGION      = "eu-west-2"
        TOTES_WORKERS_SECRET_ID = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf"
        TOTES_PROCESSED_LAKE    = "s3://totes-test-processed"
        PGSSLMODE               = "verify-full"
      }
    }
    error_message = "A worker has the settings of a run, and the scheduler its credentials only."
  }

  assert {
    condition     = aws_ecs_service.scheduler.deployment_maximum_percent == 100
    error_message = "There are two schedulers at a time."
  }
}

run "who_talks_to_whom_is_named" {
  assert {
    condition = (
      { for asker, rule in aws_vpc_security_group_ingress_rule.scheduler : asker => [rule.security_group_id == aws_security_group.scheduler.id, rule.from_port, rule.to_port] } == { run = [true, 8786, 8786], workers = [true, 8786, 8786] } &&
      aws_vpc_security_group_ingress_rule.scheduler["run"].referenced_security_group_id == "sg-runs" &&
      aws_vpc_security_group_egress_rule.scheduler["run"].security_group_id == "sg-runs"
    )
    error_message = "Others than runs and workers reach the scheduler, or at another port."
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.workers.security_group_id == aws_security_group.workers.id &&
      aws_vpc_security_group_ingress_rule.workers.referenced_security_group_id == aws_security_group.scheduler.id &&
      aws_vpc_security_group_ingress_rule.workers.from_port == 32768 && aws_vpc_security_group_ingress_rule.workers.to_port == 60999
    )
    error_message = "Others than the scheduler reach workers."
  }

  assert {
    condition = (
      aws_vpc_security_group_egress_rule.databases["warehouse"].referenced_security_group_id == "sg-warehouse" &&
      aws_vpc_security_group_egress_rule.other_databases["source"].cidr_ipv4 == "10.1.0.0/24" &&
      alltrue([for rule in concat(values(aws_vpc_security_group_egress_rule.databases), values(aws_vpc_security_group_egress_rule.other_databases)) : rule.security_group_id == aws_security_group.workers.id])
    )
    error_message = "Workers reach the databases, and the scheduler none."
  }

  assert {
    condition     = !anytrue([for service in [aws_ecs_service.scheduler, aws_ecs_service.workers] : one(service.network_configuration).assign_public_ip])
    error_message = "A task has a public address."
  }
}

run "each_may_do_what_it_takes" {
  assert {
    condition = { for task, document in data.aws_iam_policy_document.task : task => [for statement in document.statement : [statement.actions, statement.resources]] } == {
      for task in ["scheduler", "workers"] : task => [
        [toset(["secretsmanager:GetSecretValue"]), toset(["arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf"])],
        [toset(["kms:Decrypt"]), toset(["arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"])],
      ]
    }
    error_message = "Of its own, a task reads the credentials."
  }

  assert {
    condition     = length(data.aws_iam_policy_document.task["scheduler"].source_policy_documents) == 0 && data.aws_iam_policy_document.task["workers"].source_policy_documents == tolist(["{}"])
    error_message = "Workers may read and write the data, and the scheduler not."
  }

  assert {
    condition     = alltrue([for container in local.containers : container.readonlyRootFilesystem && container.user == "10001:10001" && length(container.secrets) == 0])
    error_message = "A container is open."
  }
}

run "the_secret_is_empty_and_encrypted" {
  assert {
    condition     = aws_secretsmanager_secret.this.name == "totes-test-workers" && aws_secretsmanager_secret.this.kms_key_id == var.kms_key_arn
    error_message = "The boundary lets the secret be filled by its name, and the key be used."
  }
}

run "paused_nothing_runs" {
  variables {
    paused = true
  }

  assert {
    condition     = aws_ecs_service.scheduler.desired_count == 0
    error_message = "The scheduler runs although the environment is paused."
  }
}

run "a_worker_with_less_than_a_core_is_refused" {
  command = plan

  variables {
    workers = { cpu = 512, memory = 1024 }
  }

  expect_failures = [var.workers]
}

run "a_size_that_fargate_does_not_have_is_refused" {
  command = plan

  variables {
    workers = { cpu = 8192, memory = 17408 }
  }

  expect_failures = [var.workers]
}

run "no_workers_at_all_are_refused" {
  command = plan

  variables {
    workers = { count = 0 }
  }

  expect_failures = [var.workers]
}

run "workers_run_on_the_architecture_of_the_image" {
  variables {
    architecture = "ARM64"
  }

  assert {
    condition     = alltrue([for definition in aws_ecs_task_definition.this : one(definition.runtime_platform).cpu_architecture == "ARM64"])
    error_message = "A task has another architecture than the image."
  }
}
