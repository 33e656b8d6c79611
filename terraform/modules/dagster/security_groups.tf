# Who may talk to whom: a security group for each kind of task, and one table of what each reaches. There is no way to the
# internet.

locals {
  tasks = toset(["webserver", "daemon", "code-server", "run", "provision"])

  # Besides AWS's services, which all tasks reach: ECS pulls images, writes logs and fetches passwords by a task's network.
  reaches = {
    webserver = ["code-server", "storage"]
    daemon    = ["code-server", "storage"]
    # Its sensors watch the source. Warm runs are its children, and reach what runs reach.
    code-server = local.runs_are_tasks ? ["storage", "source"] : ["storage", "source", "warehouse"]
    run         = ["storage", "source", "warehouse"]
    provision   = ["storage", "warehouse"]
  }

  # Databases that this environment made are reached by their security groups, all others by their addresses.
  peers = merge(
    {
      endpoints   = { description = "AWS services by their endpoints", group = var.endpoints_security_group_id, port = 443 }
      s3          = { description = "S3 by its endpoint", prefix_list = var.s3_prefix_list_id, port = 443 }
      code-server = { description = "The code server", group = aws_security_group.task["code-server"].id, port = local.code_server_port }
    },
    { for name, address in var.database_addresses : name => { description = "PostgreSQL: ${name}", cidr_block = address.cidr_block, port = address.port } },
    { for name, id in var.database_security_group_ids : name => { description = "PostgreSQL: ${name}", group = id, port = 5432 } },
    { for storage in module.storage : "storage" => { description = "PostgreSQL: storage", group = storage.security_group_id, port = 5432 } },
  )

  exits = merge([for task, peers in local.reaches : {
    for peer in concat(["endpoints", "s3"], peers) : "${task}/${peer}" => { task = task, peer = peer }
  }]...)

  # By the peer, the groups of the tasks that reach it: for the rules at the other end.
  clients = { for peer in ["code-server", "storage", "source", "warehouse"] : peer => {
    for task, peers in local.reaches : task => aws_security_group.task[task].id if contains(peers, peer)
  } }
}

resource "aws_security_group" "task" {
  for_each = local.tasks

  name        = "${var.name}-${each.key}"
  description = "The ${each.key} of ${var.name}."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "task" {
  for_each = local.exits

  description                  = local.peers[each.value.peer].description
  security_group_id            = aws_security_group.task[each.value.task].id
  referenced_security_group_id = lookup(local.peers[each.value.peer], "group", null)
  cidr_ipv4                    = lookup(local.peers[each.value.peer], "cidr_block", null)
  prefix_list_id               = lookup(local.peers[each.value.peer], "prefix_list", null)
  ip_protocol                  = "tcp"
  from_port                    = local.peers[each.value.peer].port
  to_port                      = local.peers[each.value.peer].port
}

resource "aws_vpc_security_group_ingress_rule" "code_server" {
  for_each = local.clients.code-server

  description                  = "Asked by the ${each.key}"
  security_group_id            = aws_security_group.task["code-server"].id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.code_server_port
  to_port                      = local.code_server_port
}
