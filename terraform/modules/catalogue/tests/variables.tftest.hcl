# What is refused.

mock_provider "aws" {}

variables {
  name             = "totes-test"
  ingestion_bucket = "totes-test-ingestion"
  processed_bucket = "totes-test-processed"
  results_bucket   = "totes-test-results"
  kms_key_arn      = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "a_scan_limit_below_athenas_own" {
  command = plan

  variables {
    scan_limit_bytes = 10485759
  }

  expect_failures = [var.scan_limit_bytes]
}

run "no_batches_at_all" {
  command = plan

  variables {
    projected_batches = 0
  }

  expect_failures = [var.projected_batches]
}

run "more_partitions_than_athena_can_take" {
  command = plan

  variables {
    projected_batches = 1000001
  }

  expect_failures = [var.projected_batches]
}

run "half_a_batch" {
  command = plan

  variables {
    projected_batches = 1.5
  }

  expect_failures = [var.projected_batches]
}

run "results_in_a_zone_of_the_lake" {
  command = plan

  variables {
    results_bucket = "totes-test-processed"
  }

  expect_failures = [var.results_bucket]
}

run "both_zones_in_one_bucket" {
  command = plan

  variables {
    processed_bucket = "totes-test-ingestion"
  }

  expect_failures = [var.processed_bucket]
}

run "a_url_for_a_bucket" {
  command = plan

  variables {
    ingestion_bucket = "s3://totes-test-ingestion"
  }

  expect_failures = [var.ingestion_bucket]
}

run "an_alias_for_a_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:alias/totes"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_name_that_no_database_can_have" {
  command = plan

  variables {
    name = "Totes"
  }

  expect_failures = [var.name]
}
