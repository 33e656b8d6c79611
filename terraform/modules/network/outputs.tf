output "vpc_id" {
  description = "Id of the network."
  value       = aws_vpc.this.id
}

output "private_route_table_id" {
  description = "Id of the route table of the private subnets, for routes of others."
  value       = aws_route_table.private.id
}

output "private_subnet_ids" {
  description = "Ids of the private subnets, one in each zone."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Ids of the public subnets; none unless wanted."
  value       = [for zone in sort(keys(aws_subnet.public)) : aws_subnet.public[zone].id]

  # A load balancer is refused in subnets from which nothing leads to the internet yet.
  depends_on = [aws_route.internet, aws_route_table_association.public]
}

output "endpoints_security_group_id" {
  description = "Id of the security group of the interface endpoints."
  value       = aws_security_group.endpoints.id
}

output "s3_prefix_list_id" {
  description = "Id of S3's prefix list, for rules of security groups."
  value       = aws_vpc_endpoint.s3.prefix_list_id
}
