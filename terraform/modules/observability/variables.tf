variable "name" {
  description = "Name of the environment, which every name begins with, and the namespace of the platform's metrics."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the logs."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365 days, and some longer times."
  }
}

variable "alert_emails" {
  description = "Who gets a mail when something is wrong, and when it is well again."
  type        = list(string)

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "Each of alert_emails must be an e-mail address."
  }
}

variable "alert_subscriptions" {
  description = "What else gets alerts: `https` addresses without a key in them, and ARNs of `sqs` queues and `lambda` functions of the same account, which have to let the topic in."
  type = list(object({
    protocol = string
    endpoint = string
  }))
  default = []

  validation {
    condition = alltrue([
      for subscription in var.alert_subscriptions : can(regex(lookup({
        https  = "^https://[^\\s/@]+(/\\S*)?$"
        sqs    = "^arn:aws[a-z-]*:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$"
        lambda = "^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:\\S+$"
      }, subscription.protocol), subscription.endpoint))
    ])
    error_message = "Each of alert_subscriptions has the protocol https, sqs or lambda, and an address or ARN of that kind."
  }

  validation {
    condition     = !anytrue([for subscription in var.alert_subscriptions : can(regex("^https://([a-z0-9-]+\\.)*(pagerduty|slack)\\.com/", lower(subscription.endpoint)))])
    error_message = "Addresses of PagerDuty and Slack contain a key, which Terraform's state would keep. Subscribe them by hand, as docs/aws-safeguards.md describes."
  }
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string
}

variable "service_names" {
  description = "Names of the ECS services, by what they run."
  type        = map(string)
}

variable "databases" {
  description = "Names and classes of the database servers, by their role, and how many GiB are to be free on each."
  type = map(object({
    identifier       = string
    instance_class   = string
    free_storage_gib = optional(number, 4)
  }))
}

variable "exchange_rates_function" {
  description = "Name of the function that fetches exchange rates; null if there is none."
  type        = string
  default     = null
}

variable "paused" {
  description = "Whether the environment is paused, and nobody is to be told that it does nothing."
  type        = bool
  default     = false
}

variable "replication" {
  description = "Names of the bucket that is copied and of the one that has the copy; null if there is none."
  type = object({
    source_bucket      = string
    destination_bucket = string
  })
  default = null
}

variable "monthly_budget" {
  description = "Dollars that a month may cost: `alert_emails` get a mail when 80 % of them are forecast, and when all are spent. Null for no budget."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget == null ? true : var.monthly_budget > 0
    error_message = "monthly_budget must be more than 0 dollars, or null."
  }

  validation {
    condition     = var.monthly_budget == null ? true : length(var.alert_emails) >= 1 && length(var.alert_emails) <= 10
    error_message = "monthly_budget needs one to ten alert_emails: AWS Budgets sends mail to no more."
  }
}

variable "budget_of_account" {
  description = "Whether the budget is for all that the account costs, and not only for what has the environment's tag. For an account of its own."
  type        = bool
  default     = false
}
