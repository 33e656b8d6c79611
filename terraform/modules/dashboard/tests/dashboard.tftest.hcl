# Who reaches the dashboard, and what it may do.

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
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-2:123456789012:targetgroup/totes-test-dashboard/0123456789abcdef" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:task-definition/totes-test-dashboard:1" }
  }
}

variables {
  name                        = "totes-test"
  image                       = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  image_repository_arn        = "arn:aws:ecr:eu-west-2:123456789012:repository/totes_dagster"
  cluster_arn                 = "arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test"
  vpc_id                      = "vpc-1"
  private_subnet_ids          = ["subnet-1", "subnet-2"]
  endpoints_security_group_id = "sg-endpoints"
  s3_prefix_list_id           = "pl-s3"
  warehouse                   = { secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:dashboard", security_group_id = "sg-warehouse" }
  load_balancer = {
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-2:123456789012:listener/app/totes-test/0123456789abcdef/0123456789abcdef"
    security_group_id   = "sg-balancer"
    host_name           = "dagster.example.com"
    user_pool_arn       = "arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_Example"
    user_pool_client_id = "example"
    user_pool_domain    = "example"
  }
  kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "whoever_comes_has_logged_in" {
  assert {
    condition     = { for action in aws_lb_listener_rule.this.action : action.order => action.type } == { 1 = "authenticate-cognito", 2 = "forward" }
    error_message = "The rule asks for a login before it forwards anything."
  }

  assert {
    condition     = toset(one(one(aws_lb_listener_rule.this.condition).path_pattern).values) == toset(["/dashboard", "/dashboard/*"])
    error_message = "All of the path is the dashboard's, and nothing else."
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.load_balancer.referenced_security_group_id == "sg-balancer" &&
      aws_vpc_security_group_ingress_rule.load_balancer.security_group_id == aws_security_group.this.id &&
      !one(aws_ecs_service.this.network_configuration).assign_public_ip
    )
    error_message = "Only the load balancer may ask it."
  }

  assert {
    condition     = output.url == "https://dagster.example.com/dashboard"
    error_message = "Its address is a path of the UI's."
  }
}

run "it_answers_where_it_is_asked" {
  assert {
    condition = (
      join(" ", local.container.command) == "totes dashboard --host 0.0.0.0 --port 3001 --path /dashboard --allow-host dagster.example.com" &&
      one(local.container.portMappings).containerPort == aws_lb_target_group.this.port &&
      one(aws_ecs_service.this.load_balancer).container_port == aws_lb_target_group.this.port
    )
    error_message = "It listens at the port, under the path and by the name that the load balancer uses."
  }

  assert {
    condition     = one(aws_lb_target_group.this.health_check).path == "/dashboard/alive" && strcontains(local.container.healthCheck.command[3], "127.0.0.1:3001/dashboard/alive")
    error_message = "Its health is asked where the warehouse is not read."
  }

  assert {
    condition     = aws_ecs_service.this.desired_count == 1 && one(aws_ecs_service.this.deployment_circuit_breaker).enable && one(aws_ecs_service.this.deployment_circuit_breaker).rollback
    error_message = "There is one, and what does not become healthy is taken back."
  }
}

run "it_may_read_one_secret_and_nothing_else" {
  assert {
    condition = [for statement in data.aws_iam_policy_document.task.statement : { actions = statement.actions, resources = statement.resources }] == [
      { actions = toset(["secretsmanager:GetSecretValue"]), resources = toset(["arn:aws:secretsmanager:eu-west-2:123456789012:secret:dashboard"]) },
      { actions = toset(["kms:Decrypt"]), resources = toset(["arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"]) },
    ]
    error_message = "It reads its own login."
  }

  assert {
    condition     = local.container.readonlyRootFilesystem && local.container.user == "10001:10001" && length(local.container.secrets) == 0
    error_message = "Its container is closed."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.warehouse.referenced_security_group_id == "sg-warehouse" && aws_vpc_security_group_egress_rule.warehouse.cidr_ipv4 == null
    error_message = "Of databases, it reaches the warehouse alone."
  }
}

run "a_warehouse_that_exists_is_reached_by_its_address" {
  variables {
    warehouse = {
      secret_arn         = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:reader"
      secret_kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/11111111-1111-1111-1111-111111111111"
      cidr_block         = "10.3.0.0/24"
      port               = 6432
    }
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.warehouse.cidr_ipv4 == "10.3.0.0/24" && aws_vpc_security_group_egress_rule.warehouse.to_port == 6432
    error_message = "It is reached where it is."
  }

  assert {
    condition     = data.aws_iam_policy_document.task.statement[1].resources == toset(["arn:aws:kms:eu-west-2:123456789012:key/11111111-1111-1111-1111-111111111111"])
    error_message = "Its secret is decrypted with its own key."
  }
}

run "paused_it_does_not_run" {
  variables {
    paused = true
  }

  assert {
    condition     = aws_ecs_service.this.desired_count == 0
    error_message = "It runs although the environment is paused."
  }
}

run "it_runs_on_the_architecture_of_the_image" {
  variables {
    architecture = "ARM64"
  }

  assert {
    condition     = one(aws_ecs_task_definition.this.runtime_platform).cpu_architecture == "ARM64"
    error_message = "Its task has another architecture than the image."
  }
}
