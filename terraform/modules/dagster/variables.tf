variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "suffix" {
  description = "What makes buckets' names unique in the world, such as the account's id."
  type        = string
}

variable "image" {
  description = "The container image, by its digest: `<repository>@sha256:…`."
  type        = string

  validation {
    condition     = can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be named by its digest, like 123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:…, so that what was tested is what runs."
  }
}

variable "provisioning_image" {
  description = "The image of the task that sets up and migrates the databases, if another than `image`: a deployment migrates them with the new one before services and runs get it. Null for the same."
  type        = string
  default     = null
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that the image is pulled from."
  type        = string
}

variable "architecture" {
  description = "What the image is built for: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be X86_64 or ARM64."
  }
}

variable "runs" {
  description = "`tasks`: each run is an ECS task of its own, with its own memory, and starts in about a minute. `warm`: runs are forked by the code server, start at once, and share its memory."
  type        = string
  default     = "tasks"

  validation {
    condition     = contains(["tasks", "warm"], var.runs)
    error_message = "runs must be `tasks` or `warm`."
  }
}

variable "sizes" {
  description = "CPU units (1024 is one core) and MiB of memory of each kind of task."
  type        = map(object({ cpu = number, memory = number }))
  default = {
    "webserver"   = { cpu = 512, memory = 1024 }
    "daemon"      = { cpu = 512, memory = 1024 }
    "code-server" = { cpu = 512, memory = 1024 }
    "run"         = { cpu = 1024, memory = 3072 }
  }
  nullable = false # so that null is the default

  validation {
    condition     = length(setsubtract(["webserver", "daemon", "code-server", "run"], keys(var.sizes))) == 0
    error_message = "sizes must name webserver, daemon, code-server and run."
  }

  validation {
    condition     = alltrue([for size in values(var.sizes) : contains([256, 512, 1024, 2048, 4096, 8192, 16384], size.cpu) && size.memory >= 2 * size.cpu && size.memory <= 8 * size.cpu])
    error_message = "Fargate takes 256, 512, 1024, 2048, 4096, 8192 or 16384 CPU units, and two to eight times as many MiB of memory."
  }
}

variable "paused" {
  description = "Whether no service runs, as before the first image is pushed, or when nobody needs the environment."
  type        = bool
  default     = false
}

variable "vpc_id" {
  description = "Id of the network."
  type        = string
}

variable "private_subnet_ids" {
  description = "Ids of the private subnets."
  type        = list(string)
}

variable "public_subnet_ids" {
  description = "Ids of the public subnets, for the load balancer."
  type        = list(string)
  default     = []
}

variable "endpoints_security_group_id" {
  description = "Id of the security group of the endpoints of AWS services."
  type        = string
}

variable "s3_prefix_list_id" {
  description = "Id of S3's prefix list."
  type        = string
}

variable "database_addresses" {
  description = "Addresses and ports of databases that are not made here: the source, and an existing warehouse or storage."
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

variable "source_secret_arn" {
  description = "ARN of the secret with the login of totesys: JSON with host, port, username, password and database."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:", var.source_secret_arn))
    error_message = "source_secret_arn must be the ARN of a secret in Secrets Manager."
  }
}

variable "source_secret_kms_key_arn" {
  description = "ARN of the key of that secret, if it is not the account's default."
  type        = string
  default     = null
}

variable "source_capture" {
  description = "How changes of totesys are found: `census` or `log`."
  type        = string
  default     = "census"

  validation {
    condition     = contains(["census", "log"], var.source_capture)
    error_message = "Give census, or log."
  }
}

variable "warehouse" {
  description = "The warehouse: the secret with the loader's login, its key unless it is this environment's, and the administrator's secret if the deployment is to make the role; likewise that of the dashboard's login."
  type = object({
    secret_arn               = string
    secret_kms_key_arn       = optional(string)
    administrator_secret_arn = optional(string)
    reader_secret_arn        = optional(string)
  })
}

variable "warehouse_schema" {
  description = "The warehouse's schema in its database."
  type        = string
  default     = "public"
}

variable "existing_storage" {
  description = "A database for Dagster that exists already; null to have a server made. The secret is JSON with the key `password`."
  type = object({
    host               = string
    port               = number
    database           = string
    username           = string
    secret_arn         = string
    secret_kms_key_arn = optional(string)
  })
  default = null
}

variable "storage_server" {
  description = "How large, and how safe, the server of Dagster's storage is: see `settings` of the module `postgres`, whose defaults hold for what is left out."
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

variable "storage_password" {
  description = "Password of the role that keeps Dagster's storage, where its server is made here. It is neither in the plan nor in the state."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

variable "password_version" {
  description = "Raise it for a new password of Dagster's storage; the provisioning task then gives it to the role."
  type        = number
  default     = 1
}

variable "lake" {
  description = "The lake: names and ARNs of its buckets by zone, and its key."
  type = object({
    bucket_names = object({ ingestion = string, processed = string })
    bucket_arns  = object({ ingestion = string, processed = string })
    kms_key_arn  = string
  })
}

variable "landing" {
  description = "The landing bucket: its name, its ARN, and its key."
  type = object({
    bucket_name = string
    bucket_arn  = string
    kms_key_arn = string
  })
}

variable "workers" {
  description = "Workers that runs share large batches with: the address of their scheduler, their service, how many a batch is given, and the secret with what they prove to one another. Null for none."
  type = object({
    address      = string
    service_name = string
    count        = number
    secret_arn   = string
  })
  default = null
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts logins, logs and Dagster's storage."
  type        = string
}

variable "alert_topic_arn" {
  description = "ARN of the SNS topic that alerts go to."
  type        = string
}

variable "alert_topic_kms_key_arn" {
  description = "ARN of that topic's key."
  type        = string
}

variable "log_group_names" {
  description = "Names of the log groups, by task: webserver, daemon, code-server, run, provision."
  type        = map(string)
}

variable "log_group_arns" {
  description = "ARNs of the log groups, by task."
  type        = map(string)
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role; null for none."
  type        = string
  default     = null
}

variable "ssl_mode" {
  description = "How databases are connected to: `verify-full` checks their certificates too, by the authorities of RDS that are in the image."
  type        = string
  default     = "verify-full"

  validation {
    condition     = contains(["require", "verify-ca", "verify-full"], var.ssl_mode)
    error_message = "ssl_mode must be require, verify-ca or verify-full."
  }
}

variable "container_insights" {
  description = "Whether ECS measures more of its tasks, at a price."
  type        = bool
  default     = false
}

variable "port_forwarding" {
  description = "Whether the UI can be reached by port forwarding of AWS Systems Manager. It needs an agent in the webserver, which also lets whoever may start a session of another kind run commands there."
  type        = bool
  default     = true
}

variable "load_balancer" {
  description = "An HTTPS address for the UI behind a login, or null for none: its host name and certificate, who may come (all, unless said), the Cognito user pool that they log in at, and the group in it of those who may change things, while all others only look; an empty text if all may."
  type = object({
    host_name           = string
    certificate_arn     = string
    user_pool_arn       = string
    user_pool_client_id = string
    user_pool_domain    = string
    client_cidr_blocks  = optional(list(string), ["0.0.0.0/0"])
    operators_group     = optional(string, "operators")
  })
  default = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete the compute logs and the load balancer."
  type        = bool
  default     = false
}
