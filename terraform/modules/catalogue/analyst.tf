# What somebody may do who queries the lake: read it through the workgroup, and write nothing but results.

locals {
  aws     = data.aws_partition.current.partition
  region  = data.aws_region.current.name
  account = data.aws_caller_identity.current.account_id

  athena = "arn:${local.aws}:athena:${local.region}:${local.account}"
  glue   = "arn:${local.aws}:glue:${local.region}:${local.account}"
  s3     = "arn:${local.aws}:s3:::"

  zones     = { Ingestion = var.ingestion_bucket, Processed = var.processed_bucket }
  databases = [aws_glue_catalog_database.ingestion.name, aws_glue_catalog_database.processed.name]

  # The folders of the tables alone: not what was set aside, what nobody declared, nor the source's catalogue.
  readable = {
    (var.ingestion_bucket) = sort(concat([for table in local.tables.ingestion : table.location], [local.catalogue.batches.location]))
    (var.processed_bucket) = sort([for table in local.tables.processed : table.location])
  }

  analyst_policy = {
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid    = "RunQueries"
          Effect = "Allow"
          Action = [
            "athena:BatchGetNamedQuery",
            "athena:BatchGetQueryExecution",
            "athena:GetNamedQuery",
            "athena:GetQueryExecution",
            "athena:GetQueryResults",
            "athena:GetQueryResultsStream",
            "athena:GetQueryRuntimeStatistics",
            "athena:GetWorkGroup",
            "athena:ListNamedQueries",
            "athena:ListQueryExecutions",
            "athena:StartQueryExecution",
            "athena:StopQueryExecution",
          ]
          Resource = "${local.athena}:workgroup/${aws_athena_workgroup.this.name}"
        },
        {
          Sid    = "BrowseCatalogue"
          Effect = "Allow"
          Action = [
            "athena:GetDataCatalog",
            "athena:GetDatabase",
            "athena:GetTableMetadata",
            "athena:ListDatabases",
            "athena:ListTableMetadata",
          ]
          Resource = "${local.athena}:datacatalog/AwsDataCatalog"
        },
        {
          # The lists that Athena's console begins with: these two take no resource.
          Sid      = "ListWorkGroups"
          Effect   = "Allow"
          Action   = ["athena:ListDataCatalogs", "athena:ListWorkGroups"]
          Resource = "*"
        },
        {
          Sid    = "ReadTables"
          Effect = "Allow"
          Action = [
            "glue:BatchGetPartition",
            "glue:GetDatabase",
            "glue:GetDatabases",
            "glue:GetPartition",
            "glue:GetPartitions",
            "glue:GetTable",
            "glue:GetTables",
          ]
          Resource = concat(
            ["${local.glue}:catalog"],
            [for database in local.databases : "${local.glue}:database/${database}"],
            [for database in local.databases : "${local.glue}:table/${database}/*"],
          )
        },
        {
          # Athena looks for a database of this name whichever one a query is about.
          Sid      = "LookForDefaultDatabase"
          Effect   = "Allow"
          Action   = ["glue:GetDatabase"]
          Resource = ["${local.glue}:catalog", "${local.glue}:database/default"]
        },
        {
          Sid    = "FindBuckets"
          Effect = "Allow"
          Action = ["s3:GetBucketLocation"]
          Resource = [
            for bucket in [var.ingestion_bucket, var.processed_bucket, var.results_bucket] : "${local.s3}${bucket}"
          ]
        },
      ],
      [
        for zone, bucket in local.zones : {
          Sid      = "List${zone}"
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = "${local.s3}${bucket}"
          Condition = {
            StringLike = { "s3:prefix" = [for location in local.readable[bucket] : "${location}/*"] }
          }
        }
      ],
      [
        for zone, bucket in local.zones : {
          Sid      = "Read${zone}"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = [for location in local.readable[bucket] : "${local.s3}${bucket}/${location}/*"]
        }
      ],
      [
        {
          Sid       = "ListResults"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = "${local.s3}${var.results_bucket}"
          Condition = { StringLike = { "s3:prefix" = ["${local.results_prefix}*"] } }
        },
        {
          # By the bucket alone: S3 has no condition on a prefix for it.
          Sid      = "ListUploadsOfResults"
          Effect   = "Allow"
          Action   = ["s3:ListBucketMultipartUploads"]
          Resource = "${local.s3}${var.results_bucket}"
        },
        {
          Sid    = "ReadAndWriteResults"
          Effect = "Allow"
          Action = [
            "s3:AbortMultipartUpload",
            "s3:GetObject",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
          ]
          Resource = "${local.s3}${var.results_bucket}/${local.results_prefix}*"
        },
        {
          # Through S3 alone: the key opens nothing by itself.
          Sid       = "UseKey"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = var.kms_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" } }
        },
      ],
    )
  }
}
