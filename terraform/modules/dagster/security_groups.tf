# Who may talk to whom. What a task may reach is named one by one: there is no way to the internet.

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "Tasks of ${var.name}: its services, its runs, and its provisioning."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "code_server" {
  description                  = "The webserver and the daemon ask the code server"
  security_group_id            = aws_security_group.tasks.id
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = local.code_server_port
  to_port                      = local.code_server_port
}

resource "aws_vpc_security_group_egress_rule" "code_server" {
  description                  = "The webserver and the daemon ask the code server"
  security_group_id            = aws_security_group.tasks.id
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = local.code_server_port
  to_port                      = local.code_server_port
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  description                  = "AWS services by their endpoints"
  security_group_id            = aws_security_group.tasks.id
  referenced_security_group_id = var.endpoints_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  description       = "S3 by its endpoint"
  security_group_id = aws_security_group.tasks.id
  prefix_list_id    = var.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "databases" {
  for_each = merge(
    var.database_security_group_ids,
    { for storage in module.storage : "storage" => storage.security_group_id },
  )

  description                  = "PostgreSQL: ${each.key}"
  security_group_id            = aws_security_group.tasks.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_egress_rule" "other_databases" {
  for_each = var.database_addresses

  description       = "PostgreSQL: ${each.key}"
  security_group_id = aws_security_group.tasks.id
  cidr_ipv4         = each.value.cidr_block
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}
