variable "name" {
  description = "Name of the secret."
  type        = string
}

variable "description" {
  description = "Whose login it is."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the secret."
  type        = string
}

variable "host" {
  description = "Host name of the server."
  type        = string
}

variable "port" {
  description = "Port of the server."
  type        = number
}

variable "database" {
  description = "The database to connect to."
  type        = string
}

variable "username" {
  description = "The role's name."
  type        = string
}

variable "password" {
  description = "The role's password, of letters and digits, so that it needs no quoting wherever it ends up. It is neither in the plan nor in the state."
  type        = string
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9]{20,}$", var.password))
    error_message = "A password has twenty letters and digits at least, and nothing else."
  }
}

variable "password_version" {
  description = "Raise it to write the password anew; the provisioning task then gives it to the role."
  type        = number
  default     = 1

  validation {
    condition     = var.password_version >= 1 && floor(var.password_version) == var.password_version
    error_message = "password_version must be a whole number from 1 on."
  }
}

variable "recovery_window_in_days" {
  description = "Days for which a deleted secret can be brought back; 0 for not at all, so that its name is free at once."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_window_in_days == 0 || (var.recovery_window_in_days >= 7 && var.recovery_window_in_days <= 30)
    error_message = "recovery_window_in_days must be 0, or from 7 to 30."
  }
}
