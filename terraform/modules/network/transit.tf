# The way to other networks of the company, such as that of analysts or a VPN, by its transit gateway.

resource "aws_ec2_transit_gateway_vpc_attachment" "this" {
  count = var.transit_gateway == null ? 0 : 1

  transit_gateway_id = var.transit_gateway.id
  vpc_id             = aws_vpc.this.id
  subnet_ids         = [for zone in local.zones : aws_subnet.private[zone].id]

  tags = { Name = var.name }
}

# The way back is in the gateway's own route tables, which propagate what is attached, or belong to whoever keeps them.
resource "aws_route" "to_transit" {
  for_each = toset(var.transit_gateway == null ? [] : var.transit_gateway.cidr_blocks)

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = each.value
  transit_gateway_id     = aws_ec2_transit_gateway_vpc_attachment.this[0].transit_gateway_id
}
