# The way to the source's network, where that is another one of the same account and region.

resource "aws_vpc_peering_connection" "source" {
  count = var.source_network == null ? 0 : 1

  vpc_id      = aws_vpc.this.id
  peer_vpc_id = var.source_network.vpc_id
  auto_accept = true

  accepter {
    allow_remote_vpc_dns_resolution = true
  }

  requester {
    allow_remote_vpc_dns_resolution = true
  }

  tags = { Name = "${var.name}-source" }
}

resource "aws_route" "to_source" {
  count = var.source_network == null ? 0 : 1

  route_table_id            = aws_route_table.private.id
  destination_cidr_block    = var.source_network.cidr_block
  vpc_peering_connection_id = aws_vpc_peering_connection.source[0].id
}

resource "aws_route" "from_source" {
  for_each = toset(var.source_network == null ? [] : var.source_network.route_table_ids)

  route_table_id            = each.value
  destination_cidr_block    = aws_vpc.this.cidr_block
  vpc_peering_connection_id = aws_vpc_peering_connection.source[0].id
}
