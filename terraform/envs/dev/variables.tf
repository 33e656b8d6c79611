variable "region" {
  description = "The AWS region."
  type        = string
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

variable "architecture" {
  description = "What tasks and the function run on: X86_64, or ARM64 for less money, if the image is built for it."
  type        = string
  default     = "X86_64"
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository of the image: an output of `bootstrap`."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role: an output of `bootstrap`."
  type        = string
}

variable "source_database" {
  description = "The source, totesys: the secret with its login, and where it is. See the module `platform`."
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

variable "postgres" {
  description = <<-EOT
    PostgreSQL's major version on both servers, of which minor ones come by themselves; `allow_major_version_upgrade`
    while one is raised; and `apply_immediately`, whether what interrupts a server is done at once and not in the next
    maintenance window. Null for what the environment does otherwise.
  EOT
  type = object({
    warehouse_version           = optional(string, "17")
    storage_version             = optional(string, "17")
    allow_major_version_upgrade = optional(bool, false)
    apply_immediately           = optional(bool)
  })
  default = {}
}

variable "ssl_mode" {
  description = "How databases are connected to: `verify-full` checks their certificates too, by the authorities of RDS that are in the image."
  type        = string
  default     = "verify-full"
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

variable "object_lock_days" {
  description = "Days for which nobody can remove an object from the ingestion zone, but with a special right; null for none. Only for buckets that are made with it."
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

variable "dashboard_enabled" {
  description = "Whether the dashboard runs, under `/dashboard` of the load balancer's address. It needs a load balancer, and in an existing warehouse the secret of a role that `deploy/roles/dashboard.sql` made."
  type        = bool
  default     = false
}

variable "port_forwarding" {
  description = "Whether Dagster's UI can be reached by port forwarding. Null for: only without a load balancer."
  type        = bool
  default     = null
}

variable "load_balancer" {
  description = "An HTTPS address for the UI behind a login, or null for none. See the module `platform`."
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

variable "runs" {
  description = "`tasks`: each run is an ECS task of its own, and starts in about a minute. `warm`: runs are forked by the code server, and start at once."
  type        = string
  default     = "tasks"
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

variable "password_version" {
  description = "Raise it for new passwords of the databases' roles; the provisioning task then gives them to the roles."
  type        = number
  default     = 1
}

variable "paused" {
  description = "Whether no service runs, and nobody is told that."
  type        = bool
  default     = false
}
