variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of private subnets in two availability zones at least."
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Who may connect: security groups, by what they are called."
  type        = map(string)
  default     = {}
}

variable "analyst_cidr_blocks" {
  description = "Addresses that analysts and their tools connect from."
  type        = list(string)
  default     = []
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts storage, backups, logs and the administrator's password."
  type        = string
}

variable "server" {
  description = "How large, and how safe, the server is: see `settings` of the module `postgres`, whose defaults hold for what is left out."
  type = object({
    engine_version              = optional(string)
    instance_class              = optional(string)
    allocated_storage           = optional(number)
    max_allocated_storage       = optional(number)
    multi_az                    = optional(bool)
    backup_retention_days       = optional(number)
    deletion_protection         = optional(bool, true)
    performance_insights        = optional(bool)
    apply_immediately           = optional(bool)
    allow_major_version_upgrade = optional(bool)
    log_retention_days          = optional(number)
  })
  default = {}
}

variable "loader_password" {
  description = "The loader's password. It is neither in the plan nor in the state."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "dashboard_enabled" {
  description = "Whether the dashboard has a login."
  type        = bool
  default     = false
}

variable "dashboard_password" {
  description = "The dashboard's password. It is neither in the plan nor in the state."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

variable "password_version" {
  description = "Raise it for a new password; the provisioning task then gives it to the role."
  type        = number
  default     = 1
}
