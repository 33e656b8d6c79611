variable "github_repository" {
  description = "The repository whose workflows plan and deploy, as owner/name."
  type        = string

  validation {
    # Nothing that a pattern could be made of: the roles' trust is in exactly this repository.
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be like owner/name."
  }
}

variable "github_repository_ids" {
  description = "GitHub's numbers of the repository and of its owner, if its tokens have them: since July 2026 those of repositories that were created, renamed or transferred, and of all that opted in. Null if they have the names alone."
  type = object({
    owner      = number
    repository = number
  })
  default = null

  validation {
    condition = var.github_repository_ids == null ? true : alltrue([
      for id in values(var.github_repository_ids) : id >= 1 && floor(id) == id
    ])
    error_message = "github_repository_ids must be whole numbers, as `gh api repos/OWNER/NAME` says them."
  }
}

variable "environments" {
  description = "The environments. Each has its own deploying role and boundary, and names that begin with totes-<environment>."
  type        = list(string)
  default     = ["dev", "prod"]

  validation {
    condition     = alltrue([for environment in var.environments : can(regex("^[a-z][a-z0-9]{1,11}$", environment))])
    error_message = "An environment's name must be two to twelve lower-case letters and digits, the first a letter."
  }

  validation {
    # The planning role reads all of them, with two policies for each, and IAM attaches ten to a role.
    condition     = length(var.environments) >= 1 && length(var.environments) <= 4 && length(distinct(var.environments)) == length(var.environments)
    error_message = "environments must be one to four names, no two the same."
  }
}

variable "protected_environments" {
  description = "Environments whose deploying role cannot delete databases, their backups, keys or buckets, whatever Terraform says. An administrator can."
  type        = list(string)
  default     = ["prod"]
}

variable "backups" {
  description = "By environment, for how many days daily backups of its databases are kept in a vault that no workflow can empty, and by which lock: `governance`, which an administrator can take off, or `compliance`, which nobody can after three days. An environment that is not here has none."
  type = map(object({
    retention_days = optional(number, 35)
    lock           = optional(string, "governance")
  }))
  default = { prod = {} }

  validation {
    condition     = alltrue([for settings in values(var.backups) : contains(["governance", "compliance"], settings.lock)])
    error_message = "The lock of backups must be governance or compliance."
  }

  validation {
    condition     = alltrue([for settings in values(var.backups) : settings.retention_days >= 1 && settings.retention_days <= 36500])
    error_message = "retention_days of backups must be from 1 to 36500."
  }
}

variable "region" {
  description = "Region of the state, the images, and the environments."
  type        = string
}

variable "state_bucket_name" {
  description = "Name of the bucket of Terraform's state; unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket_name))
    error_message = "state_bucket_name must be 3 to 63 lower-case letters, digits and hyphens."
  }

  validation {
    # An environment's role may change every bucket that is named after the environment.
    condition     = !anytrue([for environment in var.environments : startswith(var.state_bucket_name, "totes-${environment}-")])
    error_message = "state_bucket_name must not begin with an environment's name, such as totes-dev-."
  }
}

variable "image_repository_arn" {
  description = "ARN of the repository of images, if it is in another account, where this was applied before; null to make it here. Nothing pushes images from here then."
  type        = string
  default     = null

  validation {
    # Tasks reach ECR by endpoints, and these are of their own region.
    condition     = var.image_repository_arn == null ? true : can(regex("^arn:aws[a-z-]*:ecr:${var.region}:[0-9]{12}:repository/.+", var.image_repository_arn))
    error_message = "image_repository_arn must be the ARN of a repository in the same region."
  }
}

variable "image_reader_accounts" {
  description = "Ids of other accounts whose environments pull images from the repository that is made here."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.image_reader_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "Each of image_reader_accounts must be 12 digits."
  }
}

variable "state_versions_kept" {
  description = "How many earlier versions of a state stay, however old; null for those of the last year only."
  type        = number
  default     = 20

  validation {
    condition     = var.state_versions_kept == null ? true : var.state_versions_kept >= 1 && var.state_versions_kept <= 100
    error_message = "S3 keeps 1 to 100 versions however old they are."
  }
}

variable "existing_oidc_provider_arn" {
  description = "ARN of the account's OIDC provider for token.actions.githubusercontent.com; null to make it. An account has one at most."
  type        = string
  default     = null

  validation {
    condition     = var.existing_oidc_provider_arn == null ? true : endswith(var.existing_oidc_provider_arn, ":oidc-provider/token.actions.githubusercontent.com")
    error_message = "existing_oidc_provider_arn must end with :oidc-provider/token.actions.githubusercontent.com."
  }
}

variable "source_databases" {
  description = "By environment, its variable source_database: of the source's secret, key and network, the boundary and the deploying role allow no others."
  type = map(object({
    secret_arn         = string
    secret_kms_key_arn = optional(string)
    network = optional(object({
      vpc_id          = string
      route_table_ids = list(string)
    }))
  }))
  default = {}
}

variable "transit_gateways" {
  description = "By environment, the ARN of the transit gateway that its network may be attached to, as its variable transit_gateway names it."
  type        = map(string)
  default     = {}
}

variable "replications" {
  description = "By environment, its variable replication: where its ingestion zone may be copied to. The boundary and the deploying role allow no other place."
  type = map(object({
    bucket_arn  = string
    kms_key_arn = string
  }))
  default = {}
}

variable "existing_databases" {
  description = "By environment, databases that were there before and are used instead of new ones, as its variables existing_warehouse and existing_storage name them: the boundary allows no others."
  type = map(list(object({
    secret_arn         = string
    secret_kms_key_arn = optional(string)
  })))
  default = {}
}
