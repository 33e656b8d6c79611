# That the modules fit together, and what an environment can choose. What exists then is shown on an emulator.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-2" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-2a", "eu-west-2b", "eu-west-2c"] }
  }
  mock_data "aws_cognito_user_pool" {
    defaults = { admin_create_user_config = [{ allow_admin_create_user_only = true, invite_message_template = [], unused_account_validity_days = 7 }] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mocked" }
  }
  mock_resource "aws_s3_bucket_policy" {
    defaults = { bucket = "mocked" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/totes-test/mocked" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-2:123456789012:log-group:mocked" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-2:123456789012:totes-test-alerts" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:cluster/totes-test" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:task-definition/mocked:1" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-west-2:123456789012:service/srv-mocked" }
  }
  mock_resource "aws_db_instance" {
    defaults = {
      address            = "db.example.com"
      port               = 5432
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:administrator", kms_key_id = "", secret_status = "active" }]
    }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-west-2:123456789012:function:totes-test-exchange-rates" }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-2:123456789012:loadbalancer/app/totes-test/0123456789abcdef" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-2:123456789012:targetgroup/totes-test/0123456789abcdef" }
  }
}

variables {
  passwords            = { warehouse = "twentyLettersAndDigits1", storage = "twentyLettersAndDigits2", dashboard = "twentyLettersAndDigits3" }
  name                 = "totes-test"
  image                = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  image_repository_arn = "arn:aws:ecr:eu-west-2:123456789012:repository/totes_dagster"
  source_database      = { secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totesys", cidr_block = "10.1.0.0/24" }
  alert_emails         = ["oncall@example.com"]
}

run "the_lake_is_out_of_reach_of_the_platforms_roles" {
  command = plan

  assert {
    condition     = local.role_pattern == "arn:aws:iam::123456789012:role/totes-test/*"
    error_message = "What is denied to the platform's roles is denied to all of them."
  }
}

run "by_default_servers_are_made_and_nothing_is_public" {
  command = plan

  assert {
    condition     = length(module.warehouse) == 1 && length(module.network.public_subnet_ids) == 0 && output.url == null
    error_message = "There is a warehouse, and no load balancer."
  }

  assert {
    condition     = local.port_forwarding
    error_message = "Nobody can reach the UI."
  }
}

run "what_exists_already_is_used" {
  command = plan

  variables {
    existing_warehouse = { secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:existing-warehouse", cidr_block = "10.3.0.0/24" }
    existing_storage   = { host = "db.example.com", database = "dagster", username = "dagster", secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:existing", cidr_block = "10.3.0.0/24" }
  }

  assert {
    condition     = length(module.warehouse) == 0 && module.dagster.storage_identifier == null
    error_message = "No server is made."
  }

  assert {
    condition     = output.warehouse_secret_arn == "arn:aws:secretsmanager:eu-west-2:123456789012:secret:existing-warehouse"
    error_message = "The platform gets the existing login."
  }
}

run "a_load_balancer_brings_public_subnets" {
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

  assert {
    condition     = length(module.network.public_subnet_ids) == 2 && output.url == "https://dagster.example.com"
    error_message = "The UI has an address, and its load balancer a place."
  }

  assert {
    condition     = !local.port_forwarding
    error_message = "There is a second way to the UI, which is not needed."
  }
}

run "the_dashboard_is_at_the_load_balancer" {
  command = plan

  variables {
    dashboard_enabled = true
    load_balancer = {
      host_name           = "dagster.example.com"
      certificate_arn     = "arn:aws:acm:eu-west-2:123456789012:certificate/00000000-0000-0000-0000-000000000000"
      user_pool_arn       = "arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_Example"
      user_pool_client_id = "example"
      user_pool_domain    = "example"
    }
  }

  assert {
    condition     = output.dashboard_url == "https://dagster.example.com/dashboard" && contains(keys(local.service_names), "dashboard")
    error_message = "It is under the UI's address, and watched as other services are."
  }
}

run "there_are_no_workers_unless_wanted" {
  command = plan

  assert {
    condition     = length(module.workers) == 0 && !contains(keys(local.service_names), "scheduler") && !contains(keys(output.log_group_names), "workers")
    error_message = "There are workers, or parts of them."
  }
}

run "workers_share_large_batches" {
  command = plan

  variables {
    workers = { count = 4 }
  }

  assert {
    condition     = length(module.workers) == 1 && var.workers.memory == 4096 && local.service_names.scheduler == "totes-test-scheduler"
    error_message = "The scheduler is watched as other services are."
  }

  assert {
    condition     = !contains(output.service_names, "totes-test-workers")
    error_message = "A deployment would wait for workers, of which there are mostly none."
  }
}

run "without_a_load_balancer_there_is_no_dashboard" {
  command = plan

  variables {
    dashboard_enabled = true
  }

  expect_failures = [var.dashboard_enabled]
}

run "exchange_rates_are_fetched_unless_that_is_not_wanted" {
  command = plan

  variables {
    exchange_rates = null
  }

  assert {
    condition     = length(module.exchange_rates) == 0 && output.exchange_rates_function == null && output.landing_bucket != null
    error_message = "There is no function, and files can land all the same."
  }
}

run "a_name_that_the_rights_do_not_go_by_is_refused" {
  command = plan

  variables {
    name = "production"
  }

  expect_failures = [var.name]
}
