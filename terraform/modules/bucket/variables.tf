variable "name" {
  description = "Name of the bucket, unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name has 3 to 63 small letters, digits and hyphens (and no dots, which TLS does not like)."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts every object."
  type        = string
}

variable "policy_documents" {
  description = "IAM policy documents (JSON) to add to the bucket's policy."
  type        = list(string)
  default     = []
}

variable "object_lock_days" {
  description = "Days for which Object Lock keeps every version, in governance mode; null for no Object Lock. It can be chosen only when the bucket is made."
  type        = number
  default     = null

  validation {
    condition     = var.object_lock_days == null ? true : var.object_lock_days >= 1 && var.object_lock_days <= 36500
    error_message = "object_lock_days must be from 1 to 36500, or null."
  }
}

variable "transitions" {
  description = "When objects move to which colder storage class."
  type = list(object({
    days          = number
    storage_class = string
  }))
  default = []
}

variable "noncurrent_days" {
  description = "Days after which versions that somebody overwrote or deleted are gone for good."
  type        = number
  default     = 365
}

variable "expire_days" {
  description = "Days after which objects expire; null for never."
  type        = number
  default     = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete the objects with the bucket."
  type        = bool
  default     = false
}
