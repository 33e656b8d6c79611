# What the policy for analysts allows, and what it must not.

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

run "actions_are_named_one_by_one" {
  assert {
    condition = !anytrue([
      for statement in jsondecode(output.analyst_policy_json).Statement : strcontains(jsonencode(statement.Action), "*")
    ])
    error_message = "No action has a wildcard."
  }

  assert {
    condition = [
      for statement in jsondecode(output.analyst_policy_json).Statement : statement.Action
      if contains(flatten([statement.Resource]), "*")
    ] == [["athena:ListDataCatalogs", "athena:ListWorkGroups"]]
    error_message = "Only what takes no resource is allowed on all."
  }
}

run "nothing_but_results_can_be_written" {
  assert {
    condition = alltrue([
      for statement in jsondecode(output.analyst_policy_json).Statement :
      alltrue([for resource in flatten([statement.Resource]) : resource == "arn:aws:s3:::totes-test-results/athena/*"])
      if anytrue([for action in statement.Action : can(regex("^(s3|glue):(Put|Delete|Create|Update|Abort)", action))])
    ])
    error_message = "Only objects of the results' folder can be written, and none deleted."
  }

  assert {
    condition     = length([for statement in jsondecode(output.analyst_policy_json).Statement : statement if contains(statement.Action, "s3:PutObject")]) == 1
    error_message = "Results can be written."
  }
}

run "only_folders_of_tables_can_be_read" {
  assert {
    condition = toset(flatten([
      for statement in jsondecode(output.analyst_policy_json).Statement : statement.Resource if statement.Sid == "ReadIngestion"
      ])) == toset([
      for folder in [
        "address", "batches", "counterparty", "currency", "department", "design", "live_keys/payment", "live_keys/purchase_order",
        "live_keys/sales_order", "live_keys/transaction", "payment", "payment_type", "purchase_order", "sales_order", "staff",
        "transaction",
      ] : "arn:aws:s3:::totes-test-ingestion/${folder}/*"
    ])
    error_message = "Neither undeclared tables nor the source's catalogue can be read."
  }

  assert {
    condition     = !strcontains(output.analyst_policy_json, "quarantine") && !strcontains(output.analyst_policy_json, "totes-test-processed/*")
    error_message = "The quarantine cannot be read."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(output.analyst_policy_json).Statement : can(statement.Condition.StringLike["s3:prefix"])
      if contains(statement.Action, "s3:ListBucket")
    ])
    error_message = "Buckets are listed by folder."
  }
}

run "the_key_is_used_through_s3_alone" {
  assert {
    condition = [
      for statement in jsondecode(output.analyst_policy_json).Statement : [statement.Resource, statement.Condition.StringEquals["kms:ViaService"]]
      if contains(statement.Action, "kms:Decrypt")
    ] == [[var.kms_key_arn, "s3.eu-west-2.amazonaws.com"]]
    error_message = "The lake's key, through S3."
  }
}

run "queries_are_run_in_this_workgroup_alone" {
  assert {
    condition = [
      for statement in jsondecode(output.analyst_policy_json).Statement : statement.Resource
      if contains(statement.Action, "athena:StartQueryExecution")
    ] == ["arn:aws:athena:eu-west-2:123456789012:workgroup/totes-test"]
    error_message = "Queries are run in this environment's workgroup."
  }
}
