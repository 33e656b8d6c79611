variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "image" {
  description = "The container image, by its digest: `<repository>@sha256:…`."
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

variable "size" {
  description = "CPU units (1024 is one core) and MiB of memory."
  type        = object({ cpu = number, memory = number })
  default     = { cpu = 256, memory = 512 }
}

variable "paused" {
  description = "Whether it does not run."
  type        = bool
  default     = false
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string
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

variable "warehouse" {
  description = "The warehouse: the secret with the dashboard's login, its key unless it is this environment's, the schema, and where the server is: a security group, or addresses."
  type = object({
    secret_arn         = string
    secret_kms_key_arn = optional(string)
    schema             = optional(string, "public")
    security_group_id  = optional(string)
    cidr_block         = optional(string)
    port               = optional(number, 5432)
  })

  validation {
    condition     = var.warehouse.cidr_block == null || (can(cidrhost(var.warehouse.cidr_block, 0)) && !endswith(coalesce(var.warehouse.cidr_block, "-"), "/0"))
    error_message = "warehouse.cidr_block must be an IPv4 CIDR block, and not the whole internet."
  }
}

variable "load_balancer" {
  description = "The load balancer of Dagster's UI: its listener, its security group and its host name, and the Cognito user pool that users log in at."
  type = object({
    listener_arn        = string
    security_group_id   = string
    host_name           = string
    user_pool_arn       = string
    user_pool_client_id = string
    user_pool_domain    = string
  })
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

variable "ssl_mode" {
  description = "How the warehouse is connected to: `verify-full` checks its certificate too, by the authorities of RDS that are in the image."
  type        = string
  default     = "verify-full"
}
