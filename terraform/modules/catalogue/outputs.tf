output "ingestion_database" {
  description = "Name of the Glue database with the source's tables as captured, and the log of batches."
  value       = aws_glue_catalog_database.ingestion.name
}

output "processed_database" {
  description = "Name of the Glue database with the star schema as remodelled."
  value       = aws_glue_catalog_database.processed.name
}

output "workgroup" {
  description = "Name of the Athena workgroup that queries are run in."
  value       = aws_athena_workgroup.this.name
}

output "results_location" {
  description = "URL of the folder that results of queries are written to."
  value       = "s3://${var.results_bucket}/${local.results_prefix}"
}

output "named_queries" {
  description = "Ids of the ready queries, by their names without the environment's."
  value       = { for file, query in aws_athena_named_query.ready : trimsuffix(file, ".sql") => query.id }
}

output "projected_batches" {
  description = "Highest batch that Athena looks for: alarm long before the lake has so many."
  value       = var.projected_batches
}

output "analyst_policy_json" {
  description = "IAM policy, as JSON, for whoever may query the lake: read its tables, in this workgroup, and write nothing but results."
  value       = jsonencode(local.analyst_policy)
}
