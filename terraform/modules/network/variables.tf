variable "name" {
  description = "Name of the environment, which every name begins with."
  type        = string
}

variable "cidr_block" {
  description = "The network's addresses; a /16 to /22 that overlaps with no network it is to be peered with."
  type        = string
  default     = "10.42.0.0/20"

  validation {
    condition     = can(cidrhost(var.cidr_block, 0)) && can(regex("/(1[6-9]|2[0-2])$", var.cidr_block))
    error_message = "cidr_block must be an IPv4 CIDR block from /16 to /22."
  }
}

variable "availability_zones" {
  description = "How many availability zones to use; RDS wants two at least."
  type        = number
  default     = 2

  validation {
    condition     = var.availability_zones >= 2 && var.availability_zones <= 6
    error_message = "availability_zones must be from 2 to 6."
  }
}

variable "endpoint_zones" {
  description = "In how many of the zones each interface endpoint is. One is cheapest; two outlive a zone."
  type        = number
  default     = 1

  validation {
    condition     = var.endpoint_zones >= 1 && var.endpoint_zones <= var.availability_zones
    error_message = "endpoint_zones must be from 1 to availability_zones."
  }
}

variable "port_forwarding" {
  description = "Whether there is an endpoint for port forwarding to the UI."
  type        = bool
  default     = true
}

variable "public" {
  description = "Whether there are public subnets, for a load balancer."
  type        = bool
  default     = false
}

variable "source_network" {
  description = "The source's network, if it is to be peered with: its VPC, its addresses, and the route tables of the subnets that the source is in."
  type = object({
    vpc_id          = string
    cidr_block      = string
    route_table_ids = list(string)
  })
  default = null

  validation {
    condition     = var.source_network == null ? true : can(cidrhost(var.source_network.cidr_block, 0))
    error_message = "source_network.cidr_block must be an IPv4 CIDR block."
  }
}

variable "transit_gateway" {
  description = "The company's transit gateway, if the network is to be attached to it: its id, and the addresses that are reached by it, such as those of analysts. Null for none."
  type = object({
    id          = string
    cidr_blocks = list(string)
  })
  default = null

  validation {
    condition     = var.transit_gateway == null ? true : alltrue([for block in var.transit_gateway.cidr_blocks : can(cidrhost(block, 0)) && block != "0.0.0.0/0"])
    error_message = "transit_gateway.cidr_blocks must be IPv4 CIDR blocks, and not all addresses: the network has no way to the internet."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the flow log."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role; null for none."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days for which the flow log is kept."
  type        = number
  default     = 30
}
