variable "name" {
  description = "Name of the environment, which every name begins with, such as `totes-dev`."
  type        = string

  validation {
    condition     = can(regex("^totes-[a-z0-9]{1,12}$", var.name))
    error_message = "name must be `totes-` and up to 12 small letters and digits: names of some resources are that short, and the rights to deploy go by it."
  }
}

variable "image" {
  description = "The container image, by its digest: `<repository>@sha256:…`."
  type        = string
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
  description = "What tasks and the function run on: X86_64, or ARM64 for less money, if the image is built for it."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be X86_64 or ARM64."
  }
}

variable "source_database" {
  description = <<-EOT
    The source, totesys: `secret_arn` is the secret with its login, JSON with host, port, username, password and database,
    which somebody else fills; `secret_kms_key_arn` its key, if it is not the account's default; `cidr_block` and `port`
    where it is; `network` what network to peer with, if it is not reached otherwise; `capture` how changes are found,
    `census` or `log`, which needs rights there.
  EOT
  type = object({
    secret_arn         = string
    secret_kms_key_arn = optional(string)
    cidr_block         = string
    port               = optional(number, 5432)
    capture            = optional(string, "census")
    network = optional(object({
      vpc_id          = string
      cidr_block      = string
      route_table_ids = list(string)
    }))
  })
}

variable "existing_warehouse" {
  description = "A warehouse that exists already: the secrets with the logins of the loader and, if it is enabled, of the dashboard, and where it is; null to have a server made."
  type = object({
    secret_arn           = string
    secret_kms_key_arn   = optional(string)
    dashboard_secret_arn = optional(string)
    cidr_block           = string
    port                 = optional(number, 5432)
  })
  default = null
}

variable "existing_storage" {
  description = "A database for Dagster that exists already, and where it is; null to have a server made. The secret is JSON with the key `password`."
  type = object({
    host               = string
    port               = optional(number, 5432)
    database           = string
    username           = string
    secret_arn         = string
    secret_kms_key_arn = optional(string)
    cidr_block         = string
  })
  default = null
}

variable "warehouse_schema" {
  description = "The warehouse's schema in its database."
  type        = string
  default     = "public"
}

variable "warehouse_server" {
  description = "How large the warehouse's server is: see `settings` of the module `postgres`, whose defaults hold for what is left out."
  type = object({
    engine_version              = optional(string)
    instance_class              = optional(string)
    allocated_storage           = optional(number)
    max_allocated_storage       = optional(number)
    multi_az                    = optional(bool)
    backup_retention_days       = optional(number)
    performance_insights        = optional(bool)
    apply_immediately           = optional(bool)
    allow_major_version_upgrade = optional(bool)
  })
  default = {}
}

variable "storage_server" {
  description = "How large the server of Dagster's storage is, likewise."
  type = object({
    engine_version              = optional(string)
    instance_class              = optional(string)
    allocated_storage           = optional(number)
    max_allocated_storage       = optional(number)
    multi_az                    = optional(bool)
    backup_retention_days       = optional(number)
    performance_insights        = optional(bool)
    apply_immediately           = optional(bool)
    allow_major_version_upgrade = optional(bool)
  })
  default = {}
}

variable "passwords" {
  description = "Passwords of the roles that are made here, of letters and digits. They are neither in the plan nor in the state, and count only when `password_version` is raised."
  type = object({
    warehouse = optional(string)
    storage   = optional(string)
    dashboard = optional(string)
  })
  ephemeral = true
  sensitive = true
}

variable "password_version" {
  description = "Raise it to give the roles that are made here the passwords as they are now; the provisioning task then does so."
  type        = number
  default     = 1
}

variable "analyst_cidr_blocks" {
  description = "Addresses that analysts and their tools connect to the warehouse from."
  type        = list(string)
  default     = []
}

variable "transit_gateway" {
  description = "The company's transit gateway, if the network is to be attached to it: its id, and the addresses that are reached by it, such as those of analysts. Null for none."
  type = object({
    id          = string
    cidr_blocks = list(string)
  })
  default = null
}

variable "network" {
  description = "The network: its addresses, in how many zones it is, and in how many of them the endpoints of AWS's services are."
  type = object({
    cidr_block         = optional(string, "10.42.0.0/20")
    availability_zones = optional(number, 2)
    endpoint_zones     = optional(number, 1)
  })
  default = {}
}

variable "object_lock_days" {
  description = "Days for which Object Lock keeps every version of the ingestion zone; null for no Object Lock. It can be chosen only when the bucket is made."
  type        = number
  default     = null
}

variable "replication" {
  description = "Where the ingestion zone is copied to, if anywhere: the ARNs of a bucket, in another region or account, and of the key there; and the account, if it is another one. Null for no copy."
  type = object({
    bucket_arn  = string
    kms_key_arn = string
    account_id  = optional(string)
  })
  default = null
}

variable "landing_senders" {
  description = "By feed (shipment, sales_target, exchange_rate): ARNs of the roles that may put files into its folder of the landing bucket, also of other accounts."
  type        = map(list(string))
  default     = {}
}

variable "landing_expire_days" {
  description = "Days after which a file in the landing bucket expires, taken or not."
  type        = number
  default     = 90
}

variable "exchange_rates" {
  description = "What the function that fetches exchange rates asks for, and whom; null for no such function. `reserved_concurrency` has to be -1 in an account that AWS lets reserve none."
  type = object({
    base_url             = optional(string, "https://data-api.ecb.europa.eu")
    currencies           = optional(list(string), ["USD", "GBP"])
    reserved_concurrency = optional(number, 1)
  })
  default = {}
}

variable "projected_batches" {
  description = "Highest batch that Athena looks for: see the module `catalogue`."
  type        = number
  default     = 100000
}

variable "scan_limit_bytes" {
  description = "How much one query of the lake may read."
  type        = number
  default     = 10737418240
}

variable "runs" {
  description = "`tasks`: each run is an ECS task of its own, and starts in about a minute. `warm`: runs are forked by the code server, and start at once."
  type        = string
  default     = "tasks"
}

variable "sizes" {
  description = "CPU units (1024 is one core) and MiB of memory of each kind of task; null for those of the module `dagster`."
  type        = map(object({ cpu = number, memory = number }))
  default     = null
}

variable "workers" {
  description = "Workers that take a share of large batches: how many a batch is given, and the CPU units (1024 is one core) and MiB of memory of each. Null for none: runs then do everything themselves."
  type = object({
    count  = optional(number, 8)
    cpu    = optional(number, 1024)
    memory = optional(number, 4096)
  })
  default = null
}

variable "paused" {
  description = "Whether no service runs, and nobody is told that."
  type        = bool
  default     = false
}

variable "alert_emails" {
  description = "Who gets a mail when something is wrong, and when it is well again."
  type        = list(string)
}

variable "alert_subscriptions" {
  description = "What else gets alerts: `https` addresses without a key in them, and ARNs of `sqs` queues and `lambda` functions of the same account, which have to let the topic in."
  type = list(object({
    protocol = string
    endpoint = string
  }))
  default = []
}

variable "monthly_budget" {
  description = "Dollars that a month may cost: `alert_emails` get a mail when 80 % of them are forecast, and when all are spent. Null for no budget."
  type        = number
  default     = null
}

variable "budget_of_account" {
  description = "Whether the budget is for all that the account costs, and not only for what has the environment's tag. For an account of its own."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30
}

variable "deletion_protection" {
  description = "Whether databases, buckets with objects and the load balancer are protected from `terraform destroy`."
  type        = bool
  default     = true
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
}

variable "container_insights" {
  description = "Whether ECS measures more of its tasks, at a price."
  type        = bool
  default     = false
}

variable "dashboard_enabled" {
  description = "Whether the dashboard runs, under `/dashboard` of the load balancer's address. It needs a load balancer, and in an existing warehouse the secret of a role that `deploy/roles/dashboard.sql` made."
  type        = bool
  default     = false

  validation {
    condition     = !var.dashboard_enabled || var.load_balancer != null
    error_message = "dashboard_enabled needs load_balancer: the dashboard has no login of its own."
  }

  validation {
    condition     = !var.dashboard_enabled || var.existing_warehouse == null || try(var.existing_warehouse.dashboard_secret_arn, null) != null
    error_message = "dashboard_enabled needs existing_warehouse.dashboard_secret_arn: create the role with deploy/roles/dashboard.sql, and keep its login in a secret."
  }
}

variable "port_forwarding" {
  description = "Whether Dagster's UI can be reached by port forwarding. Null for: only without a load balancer."
  type        = bool
  default     = null
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
