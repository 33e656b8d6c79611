variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "bucket_name" {
  description = "Name of the landing bucket."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the landing bucket."
  type        = string
}

variable "bucket_kms_key_arn" {
  description = "ARN of the key that encrypts the landing bucket."
  type        = string
}

variable "base_url" {
  description = "Where the European Central Bank's Data Portal is, or something that answers like it."
  type        = string
  default     = "https://data-api.ecb.europa.eu"

  validation {
    condition     = can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~-]+)*$", var.base_url))
    error_message = "base_url must be like https://data-api.ecb.europa.eu: https, and no credentials, query or slash at the end."
  }
}

variable "currencies" {
  description = "ISO 4217 codes of the currencies, other than the euro, whose rates are fetched."
  type        = list(string)
  default     = ["USD", "GBP"]

  validation {
    condition     = length(var.currencies) > 0 && alltrue([for code in var.currencies : can(regex("^[A-Z]{3}$", code)) && code != "EUR"])
    error_message = "currencies must be one or more codes like USD; all rates are for one euro, which is none of them."
  }
}

variable "days" {
  description = "For how many days before today rates are fetched each time, so that those of days without a fetch, and revisions, come too."
  type        = number
  default     = 14

  validation {
    condition     = var.days >= 7 && var.days <= 366 && floor(var.days) == var.days
    error_message = "days must be from 7, so that it spans any run of holidays, to 366."
  }
}

variable "reserved_concurrency" {
  description = "How many concurrent executions to reserve for the function; -1 for none, and no limit. AWS refuses to reserve any where the account's limit is as low as that of a new account."
  type        = number
  default     = 1

  validation {
    condition     = contains([-1, 1], var.reserved_concurrency)
    error_message = "reserved_concurrency must be 1, or -1 for none."
  }
}

variable "architecture" {
  description = "What the function runs on: X86_64 or ARM64. It is Python alone, and runs on both."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be X86_64 or ARM64."
  }
}

variable "logs_kms_key_arn" {
  description = "ARN of the key that encrypts the logs."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role; null for none."
  type        = string
  default     = null
}
