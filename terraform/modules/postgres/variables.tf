variable "name" {
  description = "Name of the server."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "A server's name has up to 63 small letters, digits and single hyphens, and begins with a letter."
  }
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

variable "client_cidr_blocks" {
  description = "Who else may connect, such as analysts' tools in a peered network."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.client_cidr_blocks : can(cidrhost(block, 0)) && !endswith(block, "/0")])
    error_message = "Each of client_cidr_blocks must be an IPv4 CIDR block, and not the whole internet."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts storage, backups, logs and the administrator's password."
  type        = string
}

variable "settings" {
  description = <<-EOT
    How large, and how safe, the server is:
    `engine_version` is PostgreSQL's, a major one, so that minor ones come by themselves; `allocated_storage` is GiB to
    begin with, and RDS extends it by itself up to `max_allocated_storage`; with `multi_az` a standby waits in another
    availability zone; backups are kept for `backup_retention_days`, which also is how far back one can restore to any
    second; with `deletion_protection` the server cannot be deleted, and leaves a last snapshot; with
    `performance_insights` RDS keeps what the server waits for, seven days of it; its log is kept for
    `log_retention_days`. A change that interrupts the server, such as another class or version, is made at once, unless
    `apply_immediately` is false: then in the next maintenance window, and plans show it until then. Another major
    version takes `allow_major_version_upgrade`, so that none comes by mistake.
  EOT
  type = object({
    engine_version              = optional(string, "17")
    instance_class              = optional(string, "db.t4g.micro")
    allocated_storage           = optional(number, 20)
    max_allocated_storage       = optional(number, 100)
    multi_az                    = optional(bool, false)
    backup_retention_days       = optional(number, 7)
    deletion_protection         = optional(bool, true)
    performance_insights        = optional(bool, true)
    log_retention_days          = optional(number, 30)
    apply_immediately           = optional(bool, true)
    allow_major_version_upgrade = optional(bool, false)
  })
  default = {}

  validation {
    condition     = can(regex("^1[5-8](\\.[0-9]+)?$", var.settings.engine_version))
    error_message = "engine_version must be one of PostgreSQL 15 to 18."
  }

  validation {
    condition     = startswith(var.settings.instance_class, "db.")
    error_message = "An instance_class begins with `db.`."
  }

  validation {
    condition     = var.settings.allocated_storage >= 20 && var.settings.max_allocated_storage >= var.settings.allocated_storage
    error_message = "gp3 storage begins at 20 GiB, and max_allocated_storage cannot be less than allocated_storage."
  }

  validation {
    condition     = var.settings.backup_retention_days >= 1 && var.settings.backup_retention_days <= 35
    error_message = "backup_retention_days must be from 1 to 35."
  }

  validation {
    # Terraform removes the old version's parameter group at once, which RDS refuses while the server uses it.
    condition     = !var.settings.allow_major_version_upgrade || var.settings.apply_immediately
    error_message = "allow_major_version_upgrade needs apply_immediately: upgrade at a time that you choose."
  }
}
