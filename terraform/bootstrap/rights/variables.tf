variable "environment" {
  description = "Value of the tag `Environment` of all that the environment consists of, such as dev."
  type        = string
}

variable "name" {
  description = "What the environment's names begin with, such as totes-dev."
  type        = string
}

variable "partition" {
  description = "Partition of AWS, such as aws."
  type        = string
}

variable "region" {
  description = "Region that the environment is in."
  type        = string
}

variable "account_id" {
  description = "Id of the account that the environment is in."
  type        = string
}

variable "boundary_arn" {
  description = "ARN of the permissions boundary that every role of the environment must carry."
  type        = string
}

variable "source_network" {
  description = "The source's network, if the environment is peered with it: its VPC, and the route tables that get a route back."
  type = object({
    vpc_id          = string
    route_table_ids = list(string)
  })
  default = null
}

variable "transit_gateway_arn" {
  description = "ARN of the transit gateway that the environment's network may be attached to; null for none."
  type        = string
  default     = null
}

variable "replicated" {
  description = "Whether the environment's ingestion zone may be copied elsewhere."
  type        = bool
  default     = false
}
