variable "name" {
  description = "Name of the environment, e.g. totes-dev. All names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "The name must be 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "ingestion_bucket" {
  description = "Name of the bucket that is the ingestion zone."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.ingestion_bucket))
    error_message = "Give the name of a bucket, neither a URL nor an ARN."
  }
}

variable "processed_bucket" {
  description = "Name of the bucket that is the processed zone."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.processed_bucket))
    error_message = "Give the name of a bucket, neither a URL nor an ARN."
  }

  validation {
    condition     = var.processed_bucket != var.ingestion_bucket
    error_message = "The zones must be two buckets: tables of one could not be told from those of the other."
  }
}

variable "results_bucket" {
  description = "Name of the bucket for the results of queries, which this module does not make. They lie under athena/."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.results_bucket))
    error_message = "Give the name of a bucket, neither a URL nor an ARN."
  }

  validation {
    condition     = !contains([var.ingestion_bucket, var.processed_bucket], var.results_bucket)
    error_message = "Results must not lie in a zone of the lake, which nobody but the platform writes to."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that the lake is encrypted with. Results of queries are encrypted with it too."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "Give the ARN of a KMS key: an alias cannot be named in a policy."
  }
}

variable "scan_limit_bytes" {
  description = "How much a single query may read, in bytes. Athena ends those that read more, and they cost as much."
  type        = number
  default     = 10737418240 # 10 GiB

  validation {
    condition     = var.scan_limit_bytes >= 10485760 && floor(var.scan_limit_bytes) == var.scan_limit_bytes
    error_message = "Athena takes whole bytes, 10 MB (10485760) at least."
  }
}

variable "projected_batches" {
  description = "Highest batch that Athena looks for. Raise it long before there are so many: rows of later batches are left out of results, and nothing says so but the query parts_not_seen. Queries without a literal condition on the batch look into so many folders."
  type        = number
  default     = 100000

  validation {
    # The folders' names have ten digits; beyond a million partitions Athena gives a query up.
    condition     = var.projected_batches >= 1 && var.projected_batches <= 1000000 && floor(var.projected_batches) == var.projected_batches
    error_message = "projected_batches must be a whole number from 1 to 1000000."
  }
}
