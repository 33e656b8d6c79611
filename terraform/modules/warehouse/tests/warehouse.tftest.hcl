# The warehouse's server and the loader's login belong together.

mock_provider "aws" {
  mock_resource "aws_db_instance" {
    defaults = {
      address            = "warehouse.example.com"
      port               = 5432
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:administrator", kms_key_id = "", secret_status = "active" }]
    }
  }
  mock_resource "aws_secretsmanager_secret_version" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:loader" }
  }
}

variables {
  loader_password           = "twentyLettersAndDigits1"
  dashboard_password        = "twentyLettersAndDigits2"
  name                      = "totes-test"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-1", "subnet-2"]
  client_security_group_ids = { tasks = "sg-1" }
  kms_key_arn               = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "the_loader_has_a_login_of_its_own" {
  assert {
    condition     = output.secret_arn == "arn:aws:secretsmanager:eu-west-2:123456789012:secret:loader"
    error_message = "The platform gets the loader's secret."
  }

  assert {
    condition     = output.administrator_secret_arn == "arn:aws:secretsmanager:eu-west-2:123456789012:secret:administrator"
    error_message = "Only the provisioning gets the administrator's."
  }

  assert {
    condition     = output.identifier == "totes-test-warehouse"
    error_message = "The server is named after its environment."
  }
}

run "the_dashboard_has_one_only_where_there_is_a_dashboard" {
  assert {
    condition     = output.dashboard_secret_arn == null
    error_message = "There is a login that nobody uses."
  }
}

run "the_dashboards_login_is_not_the_loaders" {
  variables {
    dashboard_enabled = true
  }

  assert {
    condition     = output.dashboard_secret_arn != null && length(module.dashboard) == 1
    error_message = "The dashboard has a login of its own."
  }
}
