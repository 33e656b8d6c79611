variable "name" {
  description = "Name of the key's alias, without `alias/`."
  type        = string
}

variable "description" {
  description = "What the key encrypts."
  type        = string
}

variable "services" {
  description = "AWS services that may use the key by themselves: their statement's id, principal, actions and conditions."
  type = map(object({
    principal = string
    actions   = list(string)
    conditions = list(object({
      test     = string
      variable = string
      values   = list(string)
    }))
  }))
  default = {}
}

variable "roles" {
  description = "Roles that may use the key whatever IAM grants them, also of other accounts: their statement's id, ARNs, actions and conditions."
  type = map(object({
    arns    = list(string)
    actions = list(string)
    conditions = list(object({
      test     = string
      variable = string
      values   = list(string)
    }))
  }))
  default = {}
}

variable "deletion_window_in_days" {
  description = "Days for which a deleted key can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_in_days >= 7 && var.deletion_window_in_days <= 30
    error_message = "deletion_window_in_days must be from 7 to 30."
  }
}
