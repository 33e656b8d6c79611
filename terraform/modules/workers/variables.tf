variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "image" {
  description = "The container image, by its digest: `<repository>@sha256:…`. Only workers with the code of a run work for it."
  type        = string
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that the image is pulled from."
  type        = string
}

variable "architecture" {
  description = "What the image is built for: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
}

variable "workers" {
  description = "How many workers a large batch is given, and the CPU units (1024 is one core) and MiB of memory of each."
  type = object({
    count  = optional(number, 8)
    cpu    = optional(number, 1024)
    memory = optional(number, 4096)
  })
  default = {}

  validation {
    condition     = var.workers.count >= 1 && var.workers.count <= 100 && floor(var.workers.count) == var.workers.count
    error_message = "workers.count must be a whole number from 1 to 100: each worker has an address in the private subnets, and connections to the databases."
  }

  validation {
    condition     = contains([1024, 2048, 4096, 8192, 16384], var.workers.cpu)
    error_message = "workers.cpu must be 1024, 2048, 4096, 8192 or 16384: a worker with less than a core is slower than the run itself."
  }

  validation {
    condition = (
      var.workers.memory >= 2 * var.workers.cpu &&
      var.workers.memory <= (var.workers.cpu < 4096 ? 8 : 7.5) * var.workers.cpu &&
      var.workers.memory % max(1024, var.workers.cpu < 8192 ? 0 : var.workers.cpu / 2) == 0
    )
    error_message = "Fargate takes, for each CPU unit, two to eight MiB of memory (7.5 from four cores on), in steps of 1024 MiB (4096 with eight cores, 8192 with sixteen)."
  }
}

variable "scheduler_size" {
  description = "CPU units and MiB of memory of the scheduler."
  type        = object({ cpu = number, memory = number })
  default     = { cpu = 256, memory = 512 }
}

variable "paused" {
  description = "Whether the scheduler does not run."
  type        = bool
  default     = false
}

variable "cluster" {
  description = "The ECS cluster. Its capacity providers are set here."
  type        = object({ name = string, arn = string })
}

variable "namespace" {
  description = "The namespace of AWS Cloud Map that services are found in."
  type        = object({ id = string, name = string })
}

variable "vpc_id" {
  description = "Id of the network."
  type        = string
}

variable "private_subnet_ids" {
  description = "Ids of the private subnets."
  type        = list(string)
}

variable "endpoints_security_group_id" {
  description = "Id of the security group of the endpoints of AWS services."
  type        = string
}

variable "s3_prefix_list_id" {
  description = "Id of S3's prefix list."
  type        = string
}

variable "run_security_group_ids" {
  description = "Ids of the security groups of what does runs, by the kind of task."
  type        = map(string)
}

variable "database_addresses" {
  description = "Addresses and ports of the databases that are not made here: the source, and an existing warehouse."
  type        = map(object({ cidr_block = string, port = optional(number, 5432) }))

  validation {
    condition     = alltrue([for address in values(var.database_addresses) : can(cidrhost(address.cidr_block, 0)) && !endswith(address.cidr_block, "/0")])
    error_message = "Each address must be an IPv4 CIDR block, and not the whole internet."
  }
}

variable "database_security_group_ids" {
  description = "Security groups of database servers that others of this environment's modules make, by what they hold."
  type        = map(string)
  default     = {}
}

variable "environment" {
  description = "The settings of the databases and the lake, as runs have them."
  type        = map(string)
}

variable "data_policy" {
  description = "A policy, as JSON, that lets one read and write what these settings name."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts logins and logs."
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
