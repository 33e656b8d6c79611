# Runs and workers ask the scheduler, and it asks workers for what came of their work. Workers reach the databases and AWS's
# services, as runs do, and do not talk to one another.

locals {
  # A worker listens where the kernel lets it: Linux takes one of these.
  worker_ports = { from = 32768, to = 60999 }

  # Who asks the scheduler.
  askers = merge(var.run_security_group_ids, { workers = aws_security_group.workers.id })

  groups = { scheduler = aws_security_group.scheduler.id, workers = aws_security_group.workers.id }
}

resource "aws_security_group" "scheduler" {
  name        = "${var.name}-scheduler"
  description = "The scheduler of ${var.name}: asked by runs and by workers."
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "workers" {
  name        = "${var.name}-workers"
  description = "The workers of ${var.name}: asked by the scheduler, reach the databases."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "scheduler" {
  for_each = local.askers

  description                  = "Asked by ${each.key}"
  security_group_id            = aws_security_group.scheduler.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "scheduler" {
  for_each = local.askers

  description                  = "The scheduler of workers"
  security_group_id            = each.value
  referenced_security_group_id = aws_security_group.scheduler.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "workers" {
  description                  = "The scheduler asks workers"
  security_group_id            = aws_security_group.workers.id
  referenced_security_group_id = aws_security_group.scheduler.id
  ip_protocol                  = "tcp"
  from_port                    = local.worker_ports.from
  to_port                      = local.worker_ports.to
}

resource "aws_vpc_security_group_egress_rule" "workers" {
  description                  = "The scheduler asks workers"
  security_group_id            = aws_security_group.scheduler.id
  referenced_security_group_id = aws_security_group.workers.id
  ip_protocol                  = "tcp"
  from_port                    = local.worker_ports.from
  to_port                      = local.worker_ports.to
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  for_each = local.groups

  description                  = "AWS services by their endpoints"
  security_group_id            = each.value
  referenced_security_group_id = var.endpoints_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each = local.groups

  description       = "S3 by its endpoint"
  security_group_id = each.value
  prefix_list_id    = var.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "databases" {
  for_each = var.database_security_group_ids

  description                  = "PostgreSQL: ${each.key}"
  security_group_id            = aws_security_group.workers.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_egress_rule" "other_databases" {
  for_each = var.database_addresses

  description       = "PostgreSQL: ${each.key}"
  security_group_id = aws_security_group.workers.id
  cidr_ipv4         = each.value.cidr_block
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}
