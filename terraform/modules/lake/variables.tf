variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "suffix" {
  description = "What makes the buckets' names unique in the world, such as the account's id."
  type        = string
}

variable "platform_role_pattern" {
  description = "Pattern of the ARNs of the platform's roles, which may never delete."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+", var.platform_role_pattern))
    error_message = "platform_role_pattern must be like arn:aws:iam::123456789012:role/totes-dev/*."
  }
}

variable "object_lock_days" {
  description = "Days for which Object Lock keeps every version of the ingestion zone; null for no Object Lock. It can be chosen only when the bucket is made."
  type        = number
  default     = null
}

variable "transitions" {
  description = "When objects of 128 KiB and more move to colder storage. Every class must answer at once: a reload reads all there is."
  type = list(object({
    days          = number
    storage_class = string
  }))
  default = [
    { days = 90, storage_class = "STANDARD_IA" },
    { days = 365, storage_class = "GLACIER_IR" },
  ]

  validation {
    condition     = alltrue([for transition in var.transitions : contains(["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"], transition.storage_class)])
    error_message = "A storage class must answer at once: STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING or GLACIER_IR."
  }
}

variable "noncurrent_days" {
  description = "Days after which versions that somebody overwrote or deleted are gone for good."
  type        = number
  default     = 365

  validation {
    condition     = var.noncurrent_days >= 30
    error_message = "Keep what was overwritten or deleted by mistake for 30 days at least."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete the lake's objects."
  type        = bool
  default     = false
}

variable "replication" {
  description = "Where the ingestion zone is copied to, if anywhere: the ARNs of a bucket, in another region or account, and of the key there; and the account, if it is another one. Null for no copy."
  type = object({
    bucket_arn  = string
    kms_key_arn = string
    account_id  = optional(string)
  })
  default = null

  validation {
    condition     = var.replication == null ? true : can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.replication.bucket_arn)) && can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+", var.replication.kms_key_arn))
    error_message = "replication needs the ARN of a bucket and that of a key, not of an alias."
  }

  validation {
    condition     = var.replication == null ? true : var.replication.account_id == null ? true : can(regex("^[0-9]{12}$", var.replication.account_id))
    error_message = "The account_id of replication must be 12 digits."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of the role that copies; null for none."
  type        = string
  default     = null
}
