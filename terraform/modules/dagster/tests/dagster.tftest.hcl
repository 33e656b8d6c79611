# What Dagster's tasks are, and what each of them may do.

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
  mock_data "aws_cognito_user_pool" {
    defaults = { admin_create_user_config = [{ allow_admin_create_user_only = true, invite_message_template = [], unused_account_validity_days = 7 }] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::totes-test-compute-logs" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/totes-test/mocked" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:task-definition/totes-test-mocked:1" }
  }
  mock_resource "aws_db_instance" {
    defaults = {
      address            = "storage.example.com"
      port               = 5432
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:administrator", kms_key_id = "", secret_status = "active" }]
    }
  }
  mock_resource "aws_secretsmanager_secret_version" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:storage" }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-2:123456789012:loadbalancer/app/totes-test/0123456789abcdef" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-2:123456789012:targetgroup/totes-test/0123456789abcdef" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-west-2:123456789012:service/srv-mocked" }
  }
}

variables {
  storage_password            = "twentyLettersAndDigits1"
  name                        = "totes-test"
  suffix                      = "123456789012"
  image                       = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  image_repository_arn        = "arn:aws:ecr:eu-west-2:123456789012:repository/totes_dagster"
  vpc_id                      = "vpc-1"
  private_subnet_ids          = ["subnet-1", "subnet-2"]
  public_subnet_ids           = ["subnet-3", "subnet-4"]
  endpoints_security_group_id = "sg-endpoints"
  s3_prefix_list_id           = "pl-s3"
  database_addresses          = { source = { cidr_block = "10.1.0.0/24" } }
  database_security_group_ids = { warehouse = "sg-warehouse" }
  source_secret_arn           = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totesys"
  warehouse = {
    secret_arn               = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:loader"
    administrator_secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:warehouse-administrator"
  }
  lake = {
    bucket_names = { ingestion = "totes-test-ingestion", processed = "totes-test-processed" }
    bucket_arns  = { ingestion = "arn:aws:s3:::totes-test-ingestion", processed = "arn:aws:s3:::totes-test-processed" }
    kms_key_arn  = "arn:aws:kms:eu-west-2:123456789012:key/11111111-1111-1111-1111-111111111111"
  }
  landing = {
    bucket_name = "totes-test-landing"
    bucket_arn  = "arn:aws:s3:::totes-test-landing"
    kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/33333333-3333-3333-3333-333333333333"
  }
  kms_key_arn             = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
  alert_topic_arn         = "arn:aws:sns:eu-west-2:123456789012:totes-test-alerts"
  alert_topic_kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/22222222-2222-2222-2222-222222222222"
  log_group_names         = { webserver = "/totes-test/webserver", daemon = "/totes-test/daemon", code-server = "/totes-test/code-server", run = "/totes-test/run", provision = "/totes-test/provision" }
  log_group_arns          = { webserver = "arn:w", daemon = "arn:d", code-server = "arn:c", run = "arn:r", provision = "arn:p" }
}

run "there_are_never_two_daemons" {
  assert {
    condition     = aws_ecs_service.this["daemon"].deployment_minimum_healthy_percent == 0 && aws_ecs_service.this["daemon"].deployment_maximum_percent == 100 && aws_ecs_service.this["daemon"].desired_count == 1
    error_message = "The old daemon is gone before the new one starts."
  }

  assert {
    condition     = alltrue([for service in aws_ecs_service.this : one(service.deployment_circuit_breaker).enable && one(service.deployment_circuit_breaker).rollback])
    error_message = "What does not become healthy is taken back."
  }

  assert {
    condition     = toset([for key, service in aws_ecs_service.this : key if service.enable_execute_command]) == toset(["webserver"])
    error_message = "Only the webserver can be reached by port forwarding."
  }
}

run "nothing_listens_to_the_internet" {
  assert {
    condition     = length(aws_lb.this) == 0 && length(aws_vpc_security_group_ingress_rule.webserver) == 0
    error_message = "There is no load balancer, and nobody may ask the webserver."
  }

  assert {
    condition     = local.definitions.webserver.command[0] == "dagster-webserver" && length(data.aws_cognito_user_pool.this) == 0
    error_message = "There is no user pool to look for operators in."
  }

  assert {
    condition     = !anytrue([for service in aws_ecs_service.this : one(service.network_configuration).assign_public_ip])
    error_message = "No task has a public address."
  }

  assert {
    condition     = output.url == null && !strcontains(aws_ecs_task_definition.run.container_definitions, "TOTES_UI_URL")
    error_message = "No address is told that there is not."
  }
}

run "each_task_reaches_what_it_needs" {
  assert {
    condition = { for task in local.tasks : task => toset([for exit in local.exits : exit.peer if exit.task == task]) } == {
      webserver   = toset(["endpoints", "s3", "code-server", "storage"])
      daemon      = toset(["endpoints", "s3", "code-server", "storage"])
      code-server = toset(["endpoints", "s3", "storage", "source"])
      run         = toset(["endpoints", "s3", "storage", "source", "warehouse"])
      provision   = toset(["endpoints", "s3", "storage", "warehouse"])
    }
    error_message = "A task reaches more than it needs, or less."
  }

  assert {
    condition = alltrue([
      for key, rule in aws_vpc_security_group_egress_rule.task :
      rule.security_group_id == aws_security_group.task[split("/", key)[0]].id && rule.from_port == rule.to_port && rule.cidr_ipv4 != "0.0.0.0/0"
    ])
    error_message = "A rule is of another task, or is for more than a port."
  }

  assert {
    condition = (
      aws_vpc_security_group_egress_rule.task["run/source"].cidr_ipv4 == "10.1.0.0/24" &&
      aws_vpc_security_group_egress_rule.task["run/warehouse"].referenced_security_group_id == "sg-warehouse" &&
      aws_vpc_security_group_egress_rule.task["run/storage"].referenced_security_group_id == module.storage[0].security_group_id &&
      aws_vpc_security_group_egress_rule.task["run/s3"].prefix_list_id == "pl-s3" &&
      aws_vpc_security_group_egress_rule.task["daemon/code-server"].from_port == 4000
    )
    error_message = "A peer is reached elsewhere than where it is."
  }

  assert {
    condition = (
      toset(keys(aws_vpc_security_group_ingress_rule.code_server)) == toset(["webserver", "daemon"]) &&
      toset(keys(local.clients.storage)) == local.tasks &&
      toset(keys(output.warehouse_client_security_group_ids)) == toset(["run", "provision"]) &&
      keys(output.run_security_group_ids) == ["run"]
    )
    error_message = "Those that reach a peer are not those that it lets in."
  }

  assert {
    condition     = { for key, service in aws_ecs_service.this : key => one(service.network_configuration).security_groups } == { for key in ["webserver", "daemon", "code-server"] : key => toset([aws_security_group.task[key].id]) }
    error_message = "A service is in the group of another."
  }
}

run "runs_are_launched_in_a_network_of_their_own" {
  assert {
    condition = { for task, launching in local.launching : task => { for entry in launching : entry.name => entry.value } if length(launching) > 0 } == {
      for task in ["webserver", "daemon"] : task => {
        DAGSTER_RUN_TASK_DEFINITION = aws_ecs_task_definition.run.arn
        DAGSTER_RUN_CLUSTER         = "totes-test"
        DAGSTER_RUN_SUBNETS         = "subnet-1,subnet-2"
        DAGSTER_RUN_SECURITY_GROUP  = aws_security_group.task["run"].id
      }
    }
    error_message = "Runs are not in the private subnets, with the security group of runs."
  }
}

run "secrets_are_named_and_not_said" {
  assert {
    condition = alltrue([
      for task, definition in local.definitions :
      definition.secrets == [{ name = "DAGSTER_POSTGRES_PASSWORD", valueFrom = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:storage:password::" }] &&
      !anytrue([for entry in definition.environment : strcontains(entry.name, "PASSWORD")])
    ])
    error_message = "The password is handed over by ECS."
  }
}

run "each_task_may_do_what_it_takes" {
  assert {
    condition     = !anytrue(flatten([for grant, statements in local.statements : [for statement in statements : [for action in statement.actions : strcontains(action, "*")]]]))
    error_message = "No action has a wildcard."
  }

  assert {
    condition = toset(flatten([
      for grant, statements in local.statements : [for statement in statements : statement.actions if contains(statement.resources, "*")]
      ])) == toset([
      "ecs:DescribeTaskDefinition",
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ])
    error_message = "Only where AWS offers nothing finer, a resource is a wildcard."
  }

  assert {
    condition = toset([
      for role, grants in local.grants : role if contains(flatten([for grant in grants : [for statement in local.statements[grant] : statement.actions]]), "ecs:RunTask")
    ]) == toset(["daemon"])
    error_message = "Only the daemon launches runs."
  }

  assert {
    condition = toset([
      for role, grants in local.grants : role if length(setintersection(["write_lake"], grants)) > 0
    ]) == toset(["run"])
    error_message = "Only runs write to the lake."
  }

  assert {
    condition = toset([
      for role, grants in local.grants : role if length(setintersection(["read_administrator_logins"], grants)) > 0
    ]) == toset(["provision"])
    error_message = "Only the provisioning reads administrators' logins."
  }

  assert {
    condition = !anytrue(flatten([
      for grant, statements in local.statements : [for statement in statements : [for action in statement.actions : action == "s3:DeleteObject" && anytrue([for resource in statement.resources : !startswith(resource, "arn:aws:s3:::totes-test-compute-logs")])]]
    ]))
    error_message = "Nothing but compute logs is ever deleted."
  }

  assert {
    condition = alltrue(flatten([
      for grant, statements in local.statements : [
        for statement in statements : [for condition in try(statement.conditions, []) : "${condition.test} ${condition.variable} ${one(condition.values)}"] == ["ArnEquals ecs:cluster arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test"]
        if length(setintersection(statement.actions, ["ecs:RunTask", "ecs:StopTask", "ecs:DescribeTasks"])) > 0
      ]
    ]))
    error_message = "Tasks are started, watched and stopped in this cluster alone."
  }

  assert {
    condition     = [for statement in local.statements.launch_runs : statement.resources if contains(statement.actions, "ecs:RunTask")] == [["arn:aws:ecs:eu-west-2:123456789012:task-definition/totes-test-run:*"]]
    error_message = "Of task definitions, only that of runs can be launched."
  }
}

run "who_takes_files_from_the_landing_bucket_only_reads_there" {
  assert {
    condition     = toset([for role, grants in local.grants : role if contains(grants, "read_landing")]) == toset(["code-server", "run"])
    error_message = "The sensor and runs look for new files, and nothing else does."
  }

  assert {
    condition = toset(flatten([
      for grant, statements in local.statements : [for statement in statements : statement.actions if anytrue([for resource in statement.resources : startswith(resource, "arn:aws:s3:::totes-test-landing")])]
    ])) == toset(["s3:GetObject", "s3:ListBucket"])
    error_message = "Files are listed and read, and neither put nor deleted."
  }

  assert {
    condition = alltrue([
      for task in ["code-server", "run"] : contains(local.definitions[task].environment, { name = "TOTES_LANDING", value = "s3://totes-test-landing" })
    ])
    error_message = "Who takes files knows where they land."
  }
}

run "without_workers_nothing_tells_of_them" {
  assert {
    condition     = !anytrue(flatten([for definition in local.definitions : [for entry in definition.environment : startswith(entry.name, "TOTES_WORKERS")]]))
    error_message = "A task is told of workers that there are not."
  }

  assert {
    condition     = !anytrue([for grant in keys(local.statements) : strcontains(grant, "workers")]) && !anytrue([for grant in flatten(values(local.grants)) : strcontains(grant, "workers")])
    error_message = "A role has rights on workers that there are not."
  }
}

run "runs_share_large_batches_with_workers" {
  variables {
    workers = {
      address      = "tls://scheduler.totes-test.internal:8786"
      service_name = "totes-test-workers"
      count        = 8
      secret_arn   = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf"
    }
  }

  assert {
    condition = { for task, definition in local.definitions : task => { for entry in definition.environment : entry.name => entry.value if startswith(entry.name, "TOTES_WORKERS") } } == {
      webserver   = {}
      daemon      = {}
      code-server = {}
      run = {
        TOTES_WORKERS           = "tls://scheduler.totes-test.internal:8786"
        TOTES_WORKERS_SECRET_ID = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf"
        TOTES_WORKERS_SERVICE   = "totes-test/totes-test-workers:8"
      }
      provision = { TOTES_WORKERS_SECRET_ID = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf" }
    }
    error_message = "Runs know of the workers, and the provisioning of their secret."
  }

  assert {
    condition = {
      for grant in ["ask_for_workers", "fill_credentials_of_workers"] : grant => [for role, grants in local.grants : role if contains(grants, grant)]
    } == { ask_for_workers = ["run"], fill_credentials_of_workers = ["provision"] }
    error_message = "Others than runs ask for workers, or others than the provisioning fill their secret."
  }

  assert {
    condition = alltrue(flatten([
      for grant in ["ask_for_workers", "fill_credentials_of_workers"] : [
        for statement in local.statements[grant] : contains([
          "arn:aws:ecs:eu-west-2:123456789012:service/totes-test/totes-test-workers",
          "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf",
          var.kms_key_arn,
        ], one(statement.resources))
      ]
    ]))
    error_message = "The rights are on that one service and that one secret."
  }

  assert {
    condition = {
      for condition in one([for statement in local.statements.ask_for_workers : statement if contains(statement.actions, "ecs:UpdateService")]).conditions : "${condition.test} ${condition.variable}" => one(condition.values)
      } == {
      "ArnEquals ecs:cluster"                           = "arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test"
      "ArnLikeIfExists ecs:task-definition"             = "arn:aws:ecs:eu-west-2:123456789012:task-definition/totes-test-workers:*"
      "StringEqualsIfExists ecs:enable-execute-command" = "false"
    }
    error_message = "A run can have other tasks started than workers, or get into them."
  }
}

run "warm_runs_share_them_too" {
  variables {
    runs = "warm"
    workers = {
      address      = "tls://scheduler.totes-test.internal:8786"
      service_name = "totes-test-workers"
      count        = 8
      secret_arn   = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-test-workers-AbCdEf"
    }
  }

  assert {
    condition     = contains(local.definitions["code-server"].environment, { name = "TOTES_WORKERS_SERVICE", value = "totes-test/totes-test-workers:8" }) && contains(local.grants["code-server"], "ask_for_workers")
    error_message = "The code server, whose children runs are, knows of no workers."
  }
}

run "workers_get_no_more_than_the_data" {
  assert {
    condition     = local.working_on_data == ["read_logins", "write_lake"] && !anytrue([for name in keys(output.data_environment) : startswith(name, "DAGSTER_")])
    error_message = "Workers do not need what Dagster needs."
  }
}

run "warm_runs_are_the_code_servers_children" {
  variables {
    runs = "warm"
  }

  assert {
    condition     = local.sizes["code-server"] == local.sizes.run && contains(local.grants["code-server"], "write_lake")
    error_message = "The code server has the memory and the rights of runs."
  }

  assert {
    condition     = toset(local.reaches["code-server"]) == toset(local.reaches.run) && toset(keys(output.run_security_group_ids)) == toset(["run", "code-server"]) && contains(keys(output.warehouse_client_security_group_ids), "code-server")
    error_message = "The code server does not reach what runs reach."
  }

  assert {
    condition     = !contains(local.grants.daemon, "launch_runs") && !contains(local.grants.webserver, "stop_runs")
    error_message = "Nobody launches tasks."
  }

  assert {
    condition     = contains(local.definitions.daemon.environment, { name = "DAGSTER_HOME", value = "/opt/dagster/warm" })
    error_message = "Dagster's instance is the one for warm runs."
  }
}

run "whoever_comes_by_https_has_logged_in" {
  variables {
    load_balancer = {
      host_name           = "dagster.example.com"
      certificate_arn     = "arn:aws:acm:eu-west-2:123456789012:certificate/00000000-0000-0000-0000-000000000000"
      user_pool_arn       = "arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_Example"
      user_pool_client_id = "example"
      user_pool_domain    = "example"
      client_cidr_blocks  = ["192.0.2.0/24"]
    }
  }

  assert {
    condition     = [for action in aws_lb_listener.https[0].default_action : action.type] == ["authenticate-cognito", "forward"]
    error_message = "The listener asks for a login before it forwards anything."
  }

  assert {
    condition     = aws_lb_listener.https[0].protocol == "HTTPS" && startswith(aws_lb_listener.https[0].ssl_policy, "ELBSecurityPolicy-TLS13")
    error_message = "There is HTTPS only."
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.https : rule.cidr_ipv4] == ["192.0.2.0/24"] && aws_vpc_security_group_ingress_rule.webserver[0].referenced_security_group_id == aws_security_group.load_balancer[0].id
    error_message = "Only who is named can come, and only by the load balancer."
  }

  assert {
    condition     = output.url == "https://dagster.example.com" && contains(local.definitions.run.environment, { name = "TOTES_UI_URL", value = "https://dagster.example.com" })
    error_message = "Alerts link there."
  }
}

run "only_operators_may_change_things" {
  variables {
    load_balancer = {
      host_name           = "dagster.example.com"
      certificate_arn     = "arn:aws:acm:eu-west-2:123456789012:certificate/00000000-0000-0000-0000-000000000000"
      user_pool_arn       = "arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_Example"
      user_pool_client_id = "example"
      user_pool_domain    = "example"
    }
  }

  assert {
    condition = local.definitions.webserver.command[0] == "totes-webserver" && { for entry in local.definitions.webserver.environment : entry.name => entry.value if startswith(entry.name, "DAGSTER_OPERATORS_") } == {
      DAGSTER_OPERATORS_GROUP  = "operators"
      DAGSTER_OPERATORS_ISSUER = "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_Example"
      DAGSTER_OPERATORS_CLIENT = "example"
    }
    error_message = "The webserver does not know who operators are."
  }

  assert {
    condition     = data.aws_cognito_user_pool.this[0].user_pool_id == "eu-west-2_Example" && data.aws_cognito_user_group.operators[0].name == "operators"
    error_message = "Nobody looks whether the group is there."
  }
}

run "all_users_are_operators_if_so_wanted" {
  variables {
    load_balancer = {
      host_name           = "dagster.example.com"
      certificate_arn     = "arn:aws:acm:eu-west-2:123456789012:certificate/00000000-0000-0000-0000-000000000000"
      user_pool_arn       = "arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_Example"
      user_pool_client_id = "example"
      user_pool_domain    = "example"
      operators_group     = ""
    }
  }

  assert {
    condition     = local.definitions.webserver.command[0] == "dagster-webserver" && length(data.aws_cognito_user_group.operators) == 0
    error_message = "A group is asked for."
  }
}

run "a_user_pool_where_anybody_can_sign_up_is_refused" {
  command = plan

  variables {
    load_balancer = {
      host_name           = "dagster.example.com"
      certificate_arn     = "arn:aws:acm:eu-west-2:123456789012:certificate/00000000-0000-0000-0000-000000000000"
      user_pool_arn       = "arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_Example"
      user_pool_client_id = "example"
      user_pool_domain    = "example"
    }
  }

  override_data {
    target = data.aws_cognito_user_pool.this
    values = { admin_create_user_config = [{ allow_admin_create_user_only = false, invite_message_template = [], unused_account_validity_days = 7 }] }
  }

  expect_failures = [data.aws_cognito_user_pool.this]
}

run "a_storage_that_exists_is_used" {
  variables {
    existing_storage   = { host = "db.example.com", port = 5432, database = "dagster", username = "dagster", secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:existing" }
    database_addresses = { source = { cidr_block = "10.1.0.0/24" }, storage = { cidr_block = "10.3.0.0/24", port = 6432 } }
  }

  assert {
    condition     = length(module.storage) == 0 && output.storage_identifier == null
    error_message = "No server is made."
  }

  assert {
    condition     = local.definitions.daemon.secrets[0].valueFrom == "arn:aws:secretsmanager:eu-west-2:123456789012:secret:existing:password::"
    error_message = "Its password is the existing one."
  }

  assert {
    condition     = alltrue([for task in local.tasks : aws_vpc_security_group_egress_rule.task["${task}/storage"].cidr_ipv4 == "10.3.0.0/24" && aws_vpc_security_group_egress_rule.task["${task}/storage"].to_port == 6432])
    error_message = "It is reached where it is."
  }

  assert {
    condition     = !anytrue([for entry in local.definitions.provision.environment : startswith(entry.name, "DAGSTER_POSTGRES_ADMIN")])
    error_message = "It is not set up by this deployment."
  }
}

run "paused_it_costs_nothing_to_run" {
  variables {
    paused = true
  }

  assert {
    condition     = alltrue([for service in aws_ecs_service.this : service.desired_count == 0])
    error_message = "No service runs."
  }
}

run "an_image_without_a_digest_is_refused" {
  command = plan

  variables {
    image = "totes_dagster:latest"
  }

  expect_failures = [var.image]
}

run "a_size_that_fargate_does_not_have_is_refused" {
  command = plan

  variables {
    sizes = {
      "webserver"   = { cpu = 512, memory = 1024 }
      "daemon"      = { cpu = 512, memory = 512 }
      "code-server" = { cpu = 512, memory = 1024 }
      "run"         = { cpu = 1024, memory = 3072 }
    }
  }

  expect_failures = [var.sizes]
}

run "databases_can_be_migrated_by_another_image" {
  variables {
    provisioning_image = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  }

  assert {
    condition = { for task, definition in merge(aws_ecs_task_definition.task, { run = aws_ecs_task_definition.run }) : task => jsondecode(definition.container_definitions)[0].image } == {
      for task in ["webserver", "daemon", "code-server", "run", "provision"] : task => task == "provision" ? var.provisioning_image : var.image
    }
    error_message = "Another task than that of provisioning has the image of provisioning."
  }
}

run "revisions_stay_for_what_was_started_with_them" {
  assert {
    condition     = alltrue([for definition in concat(values(aws_ecs_task_definition.task), [aws_ecs_task_definition.run]) : definition.skip_destroy])
    error_message = "A revision is deregistered, and what is rolled back to it cannot start."
  }
}

run "all_tasks_run_on_the_same_architecture" {
  variables {
    architecture = "ARM64"
  }

  assert {
    condition     = alltrue([for definition in concat(values(aws_ecs_task_definition.task), [aws_ecs_task_definition.run]) : one(definition.runtime_platform).cpu_architecture == "ARM64"])
    error_message = "A task has another architecture than the image."
  }
}

run "without_port_forwarding_no_task_takes_commands" {
  variables {
    port_forwarding = false
  }

  assert {
    condition     = !anytrue([for service in aws_ecs_service.this : service.enable_execute_command]) && alltrue([for definition in local.definitions : definition.readonlyRootFilesystem])
    error_message = "A task has the agent by which commands run in it, or a file system that it can write to."
  }

  assert {
    condition     = !anytrue(flatten([for grants in local.grants : [for grant in grants : [for statement in local.statements[grant] : [for action in statement.actions : startswith(action, "ssmmessages:")]]]]))
    error_message = "A role may open channels that nothing uses."
  }
}
