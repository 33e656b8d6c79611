# The lake as tables of Athena: two Glue databases, the tables of tables.json, a workgroup and ready queries.
#
# tables.json is generated from the platform's declarations, by `totes glue --write`, and checked by the tests.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  catalogue = jsondecode(file("${path.module}/tables.json"))

  # Athena's names take no hyphen without quotes.
  database = replace(var.name, "-", "_")

  # Keys of event tables lie in the ingestion zone, beside the tables.
  tables = {
    ingestion = merge(local.catalogue.ingestion, local.catalogue.live_keys)
    processed = local.catalogue.processed
  }

  results_prefix = "athena/"
}

resource "aws_glue_catalog_database" "ingestion" {
  name        = "${local.database}_ingestion"
  description = "The source's tables as captured, batch by batch, and the log of batches. Take only parts that batches lists."
}

resource "aws_glue_catalog_database" "processed" {
  name        = "${local.database}_processed"
  description = "The star schema as remodelled, batch by batch."
}

resource "aws_athena_workgroup" "this" {
  name        = var.name
  description = "Queries on the lake of ${var.name}."

  # The history of queries would keep it from being destroyed.
  force_destroy = true

  configuration {
    # Nobody's client can have its results written elsewhere, or unencrypted.
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.scan_limit_bytes

    engine_version {
      # Not AUTO: version 3 is the first that reads what tables.json declares.
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location       = "s3://${var.results_bucket}/${local.results_prefix}"
      expected_bucket_owner = data.aws_caller_identity.current.account_id

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.kms_key_arn
      }
    }
  }
}

resource "aws_athena_named_query" "ready" {
  for_each = fileset("${path.module}/queries", "*.sql")

  name        = "${var.name}-${trimsuffix(each.key, ".sql")}"
  description = trimprefix(split("\n", file("${path.module}/queries/${each.key}"))[0], "-- ")
  workgroup   = aws_athena_workgroup.this.name
  database    = aws_glue_catalog_database.ingestion.name

  query = templatefile("${path.module}/queries/${each.key}", {
    ingestion = aws_glue_catalog_database.ingestion.name
    processed = aws_glue_catalog_database.processed.name
  })
}
