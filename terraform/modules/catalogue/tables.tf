# The tables. None is crawled, and no partition is ever registered: Athena computes the folders of batches itself.

locals {
  parquet = {
    input         = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output        = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
    serialization = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
  }

  projection = {
    "projection.enabled"      = "true"
    "projection.batch.type"   = "integer"
    "projection.batch.digits" = "10"
    "projection.batch.range"  = "1,${var.projected_batches}"
  }
}

resource "aws_glue_catalog_table" "ingestion" {
  for_each = local.tables.ingestion

  name          = each.key
  database_name = aws_glue_catalog_database.ingestion.name
  description   = each.value.description
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(local.projection, {
    EXTERNAL                    = "TRUE"
    classification              = "parquet"
    "storage.location.template" = "s3://${var.ingestion_bucket}/${each.value.location}/batch=$${batch}/"
  })

  partition_keys {
    name    = "batch"
    type    = "bigint"
    comment = "Number of the batch."
  }

  storage_descriptor {
    location      = "s3://${var.ingestion_bucket}/${each.value.location}/"
    input_format  = local.parquet.input
    output_format = local.parquet.output

    ser_de_info {
      serialization_library = local.parquet.serialization
      # By name: parts can have more columns than are declared, in any order.
      parameters = { "parquet.column.index.access" = "false" }
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }
}

resource "aws_glue_catalog_table" "processed" {
  for_each = local.tables.processed

  name          = each.key
  database_name = aws_glue_catalog_database.processed.name
  description   = each.value.description
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(local.projection, {
    EXTERNAL                    = "TRUE"
    classification              = "parquet"
    "storage.location.template" = "s3://${var.processed_bucket}/${each.value.location}/batch=$${batch}/"
  })

  partition_keys {
    name    = "batch"
    type    = "bigint"
    comment = "Number of the batch."
  }

  storage_descriptor {
    location      = "s3://${var.processed_bucket}/${each.value.location}/"
    input_format  = local.parquet.input
    output_format = local.parquet.output

    ser_de_info {
      serialization_library = local.parquet.serialization
      parameters            = { "parquet.column.index.access" = "false" }
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }
}

resource "aws_glue_catalog_table" "batches" {
  name          = "batches"
  database_name = aws_glue_catalog_database.ingestion.name
  description   = local.catalogue.batches.description
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL       = "TRUE"
    classification = "json"
  }

  storage_descriptor {
    location      = "s3://${var.ingestion_bucket}/${local.catalogue.batches.location}/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    ser_de_info {
      # Not OpenX's, of which Athena's manual says that it can lose rows, and which takes keys of a map that differ in
      # case alone for one key twice. A manifest that cannot be read fails the query, and is not left out.
      serialization_library = "org.apache.hive.hcatalog.data.JsonSerDe"
    }

    dynamic "columns" {
      for_each = local.catalogue.batches.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }
}
