# What is created, as far as a plan and a provider that does nothing can tell.

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
}

variables {
  name             = "totes-test"
  ingestion_bucket = "totes-test-ingestion"
  processed_bucket = "totes-test-processed"
  results_bucket   = "totes-test-results"
  kms_key_arn      = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "every_table_of_both_zones_is_there" {
  assert {
    condition     = length(aws_glue_catalog_table.processed) == 11
    error_message = "The processed zone has eleven tables."
  }

  assert {
    condition     = length([for name in keys(aws_glue_catalog_table.ingestion) : name if !endswith(name, "_live_keys")]) == 11
    error_message = "The ingestion zone has eleven tables."
  }

  assert {
    condition = toset([for name in keys(aws_glue_catalog_table.ingestion) : name if endswith(name, "_live_keys")]) == toset([
      "sales_order_live_keys", "purchase_order_live_keys", "transaction_live_keys", "payment_live_keys",
    ])
    error_message = "The four event tables have live keys, and no others."
  }

  assert {
    condition     = aws_glue_catalog_database.ingestion.name == "totes_test_ingestion" && aws_glue_catalog_database.processed.name == "totes_test_processed"
    error_message = "The databases are named for the environment, without hyphens."
  }

  assert {
    condition     = alltrue([for table in aws_glue_catalog_table.ingestion : table.database_name == "totes_test_ingestion"])
    error_message = "Tables of the ingestion zone are in its database."
  }

  assert {
    condition     = alltrue([for table in aws_glue_catalog_table.processed : table.database_name == "totes_test_processed"])
    error_message = "Tables of the processed zone are in its database."
  }
}

run "batches_are_projected_and_not_registered" {
  variables {
    projected_batches = 5000
  }

  assert {
    condition = alltrue([
      for table in concat(values(aws_glue_catalog_table.ingestion), values(aws_glue_catalog_table.processed)) :
      table.parameters["projection.enabled"] == "true"
      && table.parameters["projection.batch.type"] == "integer"
      && table.parameters["projection.batch.digits"] == "10"
      && table.parameters["projection.batch.range"] == "1,5000"
      && length(table.partition_keys) == 1
      && table.partition_keys[0].name == "batch"
      && table.partition_keys[0].type == "bigint"
    ])
    error_message = "Every table is projected over the batches 1 to projected_batches, in folders of ten digits."
  }

  assert {
    condition     = output.projected_batches == 5000
    error_message = "Others learn where the projection ends."
  }
}

run "tables_lie_where_the_platform_writes" {
  assert {
    condition     = aws_glue_catalog_table.ingestion["payment"].storage_descriptor[0].location == "s3://totes-test-ingestion/payment/"
    error_message = "A slash ends the location: payment is how payment_type begins."
  }

  assert {
    condition     = aws_glue_catalog_table.ingestion["payment"].parameters["storage.location.template"] == "s3://totes-test-ingestion/payment/batch=$${batch}/"
    error_message = "Parts of the ingestion zone lie under <table>/batch=<number>/."
  }

  assert {
    condition     = aws_glue_catalog_table.ingestion["payment_live_keys"].parameters["storage.location.template"] == "s3://totes-test-ingestion/live_keys/payment/batch=$${batch}/"
    error_message = "Live keys lie under live_keys/<table>/batch=<number>/."
  }

  assert {
    condition     = aws_glue_catalog_table.processed["fact_payment"].parameters["storage.location.template"] == "s3://totes-test-processed/fact_payment/v1/batch=$${batch}/"
    error_message = "Parts of the processed zone lie under <table>/v<version>/batch=<number>/."
  }

  assert {
    condition     = aws_glue_catalog_table.batches.storage_descriptor[0].location == "s3://totes-test-ingestion/batches/"
    error_message = "Manifests lie under batches/."
  }
}

run "columns_are_of_types_that_athena_reads" {
  assert {
    condition = {
      for column in aws_glue_catalog_table.ingestion["sales_order"].storage_descriptor[0].columns : column.name => column.type
      } == {
      sales_order_id              = "int"
      created_at                  = "timestamp"
      last_updated                = "timestamp"
      design_id                   = "int"
      staff_id                    = "int"
      counterparty_id             = "int"
      units_sold                  = "int"
      unit_price                  = "decimal(10,2)"
      currency_id                 = "int"
      agreed_delivery_date        = "string"
      agreed_payment_date         = "string"
      agreed_delivery_location_id = "int"
    }
    error_message = "sales_order has its columns, in Hive's types."
  }

  assert {
    condition = {
      for column in aws_glue_catalog_table.processed["fact_payment"].storage_descriptor[0].columns : column.name => column.type
      if contains(["created_date", "created_time", "paid"], column.name)
    } == { created_date = "date", created_time = "bigint", paid = "boolean" }
    error_message = "A day is a date, a time of day a number, and a boolean a boolean."
  }

  assert {
    condition     = !contains(flatten([for table in values(aws_glue_catalog_table.processed) : table.storage_descriptor[0].columns[*].type]), "time")
    error_message = "Athena has no columns of type time."
  }

  assert {
    condition     = !contains(flatten([for table in values(aws_glue_catalog_table.ingestion) : table.storage_descriptor[0].columns[*].name]), "batch")
    error_message = "The partition key is no column of the parts."
  }
}

run "manifests_are_rows_and_a_broken_one_is_an_error" {
  assert {
    condition     = aws_glue_catalog_table.batches.storage_descriptor[0].ser_de_info[0].serialization_library == "org.apache.hive.hcatalog.data.JsonSerDe"
    error_message = "Manifests are JSON, read by a SerDe that loses none."
  }

  assert {
    condition     = try(aws_glue_catalog_table.batches.storage_descriptor[0].ser_de_info[0].parameters["ignore.malformed.json"], "false") == "false"
    error_message = "A manifest that cannot be read must not be left out."
  }

  assert {
    condition     = length(coalesce(aws_glue_catalog_table.batches.partition_keys, [])) == 0
    error_message = "Manifests are not in folders, so they cannot be projected."
  }

  assert {
    condition     = startswith({ for column in aws_glue_catalog_table.batches.storage_descriptor[0].columns : column.name => column.type }.tables, "map<string,struct<batch:bigint,")
    error_message = "A manifest's tables are a map."
  }
}

run "no_client_can_leave_the_workgroups_settings" {
  variables {
    scan_limit_bytes = 20000000
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].enforce_workgroup_configuration
    error_message = "The workgroup's configuration is enforced."
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 20000000
    error_message = "A query is ended when it has read scan_limit_bytes."
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].engine_version[0].selected_engine_version == "Athena engine version 3"
    error_message = "The engine is of version 3."
  }

  assert {
    condition = (
      aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration[0].encryption_option == "SSE_KMS"
      && aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration[0].kms_key_arn == var.kms_key_arn
    )
    error_message = "Results are encrypted with the lake's key."
  }

  assert {
    condition = (
      aws_athena_workgroup.this.configuration[0].result_configuration[0].output_location == "s3://totes-test-results/athena/"
      && aws_athena_workgroup.this.configuration[0].result_configuration[0].expected_bucket_owner == "123456789012"
    )
    error_message = "Results go to the results bucket, as long as it is this account's."
  }
}

run "a_query_may_read_ten_gibibytes_unless_told_otherwise" {
  assert {
    condition     = aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 10 * 1024 * 1024 * 1024
    error_message = "The scan limit is 10 GiB."
  }
}

run "ready_queries_name_this_environments_databases" {
  assert {
    condition     = length(aws_athena_named_query.ready) == 7
    error_message = "There are seven ready queries."
  }

  assert {
    condition = alltrue([
      for query in aws_athena_named_query.ready :
      strcontains(query.query, " totes_test_ingestion.batches") && !strcontains(query.query, "$${")
    ])
    error_message = "Every query reads the log of batches, in this environment's database."
  }

  assert {
    condition = alltrue([
      for query in aws_athena_named_query.ready : startswith(query.name, "totes-test-") && query.workgroup == "totes-test"
    ])
    error_message = "Every query is named for the environment, and in its workgroup."
  }
}
