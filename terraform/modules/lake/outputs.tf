output "bucket_names" {
  description = "Names of the buckets, by zone: ingestion, processed."
  value       = { for zone, bucket in module.zone : zone => bucket.name }
}

output "bucket_arns" {
  description = "ARNs of the buckets, by zone."
  value       = { for zone, bucket in module.zone : zone => bucket.arn }
}

output "kms_key_arn" {
  description = "ARN of the key that encrypts the lake."
  value       = module.key.arn
}
