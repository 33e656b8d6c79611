# What every database server is.

mock_provider "aws" {}

variables {
  name                      = "totes-test"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-1", "subnet-2"]
  client_security_group_ids = { tasks = "sg-1" }
  kms_key_arn               = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "it_is_private_encrypted_and_backed_up" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.kms_key_arn
    error_message = "The server is private, and encrypted with the key that is named."
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 7 && aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "Unless told otherwise, it is backed up, and not deleted by mistake."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null && aws_db_instance.this.master_user_secret_kms_key_id == var.kms_key_arn
    error_message = "RDS makes the administrator's password."
  }
}

run "it_takes_no_connection_without_tls" {
  command = plan

  assert {
    condition     = { for parameter in aws_db_parameter_group.this.parameter : parameter.name => parameter.value }["rds.force_ssl"] == "1"
    error_message = "TLS is forced."
  }

  assert {
    condition     = aws_db_parameter_group.this.family == "postgres17"
    error_message = "The parameters are those of the server's version."
  }
}

run "only_who_is_named_can_connect" {
  command = plan

  variables {
    client_cidr_blocks = ["10.2.0.0/24"]
  }

  assert {
    condition     = { for key, rule in aws_vpc_security_group_ingress_rule.this : key => [rule.referenced_security_group_id, rule.from_port, rule.to_port] } == { tasks = ["sg-1", 5432, 5432] }
    error_message = "The tasks can connect."
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.analysts : rule.cidr_ipv4] == ["10.2.0.0/24"]
    error_message = "So can analysts, from the addresses that are named."
  }
}

run "what_is_unprotected_goes_without_a_trace" {
  command = plan

  variables {
    settings = { deletion_protection = false }
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.delete_automated_backups
    error_message = "Nothing of it is left when it is destroyed."
  }
}

run "a_major_version_does_not_come_by_mistake" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.allow_major_version_upgrade && aws_db_instance.this.auto_minor_version_upgrade && aws_db_instance.this.engine_version == "17"
    error_message = "Minor versions come by themselves, and no major one."
  }
}

run "another_major_version_brings_its_own_parameters" {
  command = plan

  variables {
    settings = { engine_version = "18", allow_major_version_upgrade = true }
  }

  assert {
    condition     = aws_db_instance.this.allow_major_version_upgrade && aws_db_instance.this.apply_immediately && aws_db_parameter_group.this.family == "postgres18"
    error_message = "It is upgraded at once, to parameters of the new version."
  }
}

run "a_major_version_in_the_maintenance_window_is_refused" {
  command = plan

  variables {
    settings = { engine_version = "18", allow_major_version_upgrade = true, apply_immediately = false }
  }

  expect_failures = [var.settings]
}

run "the_whole_internet_is_refused" {
  command = plan

  variables {
    client_cidr_blocks = ["0.0.0.0/0"]
  }

  expect_failures = [var.client_cidr_blocks]
}

run "an_old_version_is_refused" {
  command = plan

  variables {
    settings = { engine_version = "14" }
  }

  expect_failures = [var.settings]
}

run "no_backups_are_refused" {
  command = plan

  variables {
    settings = { backup_retention_days = 0 }
  }

  expect_failures = [var.settings]
}
