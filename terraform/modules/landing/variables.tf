variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "suffix" {
  description = "What makes the bucket's name unique in the world, such as the account's id."
  type        = string
}

variable "platform_role_pattern" {
  description = "Pattern of the ARNs of the platform's roles, which may only read."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+", var.platform_role_pattern))
    error_message = "platform_role_pattern must be like arn:aws:iam::123456789012:role/totes-dev/*."
  }
}

variable "fetching_role_arn" {
  description = "ARN of the one role among these that may put files, if its own policy says so; null for none."
  type        = string
  default     = null
}

variable "senders" {
  description = "By feed, which is the name of a folder: ARNs of the roles that may put files there, also of other accounts. A role that does not exist makes AWS refuse the bucket's policy."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.senders), ["exchange_rate", "sales_target", "shipment"])) == 0
    error_message = "senders must be by feed: exchange_rate, sales_target or shipment."
  }

  validation {
    condition     = alltrue([for arn in flatten(values(var.senders)) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", arn))])
    error_message = "Each sender must be the ARN of one role, like arn:aws:iam::123456789012:role/shipping."
  }
}

variable "expire_days" {
  description = "Days after which a file expires, taken or not."
  type        = number
  default     = 90

  validation {
    condition     = var.expire_days >= 14
    error_message = "Keep files for 14 days at least: a file that expires before it is taken is lost."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete the files."
  type        = bool
  default     = false
}
