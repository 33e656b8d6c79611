# Only the load balancer may ask it; it may ask the warehouse, and AWS's services by their endpoints.

resource "aws_security_group" "this" {
  name        = local.service_name
  description = "The dashboard of ${var.name}: asked by the load balancer, reads the warehouse."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "of_load_balancer" {
  description                  = "The dashboard"
  security_group_id            = var.load_balancer.security_group_id
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  description                  = "The load balancer asks the dashboard"
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.load_balancer.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  description                  = "AWS services by their endpoints"
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.endpoints_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  description       = "S3 by its endpoint, for the layers of the image"
  security_group_id = aws_security_group.this.id
  prefix_list_id    = var.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "warehouse" {
  description                  = "PostgreSQL: warehouse"
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.warehouse.cidr_block == null ? var.warehouse.security_group_id : null
  cidr_ipv4                    = var.warehouse.cidr_block
  ip_protocol                  = "tcp"
  from_port                    = var.warehouse.port
  to_port                      = var.warehouse.port
}
