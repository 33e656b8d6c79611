output "bucket_name" {
  description = "Name of the bucket."
  value       = module.bucket.name
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = module.bucket.arn
}

output "kms_key_arn" {
  description = "ARN of the key that encrypts the files."
  value       = module.key.arn
}
