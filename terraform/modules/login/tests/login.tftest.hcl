# That the password is given to the secret, and kept by nothing of Terraform's. That it is in no state is shown on an emulator.

mock_provider "aws" {}

variables {
  password    = "twentyLettersAndDigits1"
  name        = "totes-test"
  description = "A role's login."
  kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
  host        = "db.example.com"
  port        = 5432
  database    = "warehouse"
  username    = "loader"
}

run "the_secret_is_encrypted_and_write_only" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret.this.kms_key_id == var.kms_key_arn
    error_message = "The secret is encrypted with the key that is named."
  }

  assert {
    condition     = aws_secretsmanager_secret_version.this.secret_string == null && aws_secretsmanager_secret_version.this.secret_string_wo_version == 1
    error_message = "Its value is given by the argument that no state keeps."
  }
}

run "a_new_version_is_a_new_password" {
  command = plan

  variables {
    password_version = 2
  }

  assert {
    condition     = aws_secretsmanager_secret_version.this.secret_string_wo_version == 2
    error_message = "Raising the version writes it anew."
  }
}

run "half_a_version_is_refused" {
  command = plan

  variables {
    password_version = 1.5
  }

  expect_failures = [var.password_version]
}

run "a_password_that_would_need_quoting_is_refused" {
  command = plan

  variables {
    password = "twenty/letters@and:more"
  }

  expect_failures = [var.password]
}
