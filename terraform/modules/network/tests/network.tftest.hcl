# A network without a way to the internet, unless a load balancer is wanted.

mock_provider "aws" {
  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["eu-west-2a", "eu-west-2b", "eu-west-2c"] }
  }
  override_data {
    target = data.aws_region.current
    values = { name = "eu-west-2" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-2:123456789012:log-group:/totes-test/network" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/totes-test/totes-test-flow-logs" }
  }
}

variables {
  name        = "totes-test"
  kms_key_arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "by_itself_it_is_closed" {
  assert {
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_subnet.public) == 0 && length(aws_route.internet) == 0
    error_message = "There is no way to the internet."
  }

  assert {
    condition     = length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "The default security group allows nothing."
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { "eu-west-2a" = "10.42.0.0/24", "eu-west-2b" = "10.42.1.0/24" }
    error_message = "There is a private subnet in each of two zones."
  }
}

run "services_of_aws_are_reached_by_endpoints" {
  assert {
    condition = toset([for endpoint in aws_vpc_endpoint.interface : endpoint.service_name]) == toset([
      for service in ["ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sns", "ssmmessages"] : "com.amazonaws.eu-west-2.${service}"
    ])
    error_message = "There is an endpoint for each service that is used, and no other."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && length(endpoint.subnet_ids) == 1])
    error_message = "Each answers under the service's own name, in one zone unless told otherwise."
  }

  assert {
    condition     = [for condition in data.aws_iam_policy_document.own_credentials.statement[0].condition : condition.variable] == ["aws:PrincipalAccount"] && toset([for name, endpoint in aws_vpc_endpoint.interface : name if endpoint.policy == data.aws_iam_policy_document.own_credentials.json]) == toset(["ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sns"])
    error_message = "Credentials of other accounts work by an endpoint."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "S3's costs nothing."
  }

  assert {
    condition     = toset(flatten([for statement in data.aws_iam_policy_document.s3.statement : [for condition in statement.condition : condition.variable] if statement.sid == "BucketsOfThisAccount"])) == toset(["aws:ResourceAccount", "aws:PrincipalAccount"])
    error_message = "Only buckets of the account can be reached."
  }
}

run "a_load_balancer_gets_public_subnets" {
  variables {
    public = true
  }

  assert {
    condition     = length(aws_internet_gateway.this) == 1 && length(aws_subnet.public) == 2
    error_message = "There are public subnets."
  }

  assert {
    condition     = length(setintersection([for subnet in aws_subnet.public : subnet.cidr_block], [for subnet in aws_subnet.private : subnet.cidr_block])) == 0
    error_message = "They have addresses of their own."
  }

  assert {
    condition     = alltrue([for association in aws_route_table_association.private : association.route_table_id == aws_route_table.private.id])
    error_message = "The private subnets keep their own routes."
  }
}

run "the_source_is_peered_with_both_ways" {
  variables {
    source_network = { vpc_id = "vpc-source", cidr_block = "10.1.0.0/16", route_table_ids = ["rtb-1", "rtb-2"] }
  }

  assert {
    condition     = aws_route.to_source[0].destination_cidr_block == "10.1.0.0/16"
    error_message = "There is a way to the source."
  }

  assert {
    condition     = toset([for route in aws_route.from_source : route.route_table_id]) == toset(["rtb-1", "rtb-2"])
    error_message = "There is a way back from each of its subnets."
  }
}

run "a_transit_gateway_leads_to_analysts" {
  variables {
    transit_gateway = { id = "tgw-1", cidr_blocks = ["10.2.0.0/16", "10.3.0.0/16"] }
  }

  assert {
    condition     = aws_ec2_transit_gateway_vpc_attachment.this[0].transit_gateway_id == "tgw-1" && length(aws_ec2_transit_gateway_vpc_attachment.this[0].subnet_ids) == 2
    error_message = "The network is not attached in each of its zones."
  }

  assert {
    condition = { for block, route in aws_route.to_transit : block => [route.route_table_id, route.transit_gateway_id] } == {
      "10.2.0.0/16" = [aws_route_table.private.id, "tgw-1"]
      "10.3.0.0/16" = [aws_route_table.private.id, "tgw-1"]
    }
    error_message = "The private subnets have no way to what the gateway leads to."
  }
}

run "a_transit_gateway_is_no_way_to_the_internet" {
  command = plan

  variables {
    transit_gateway = { id = "tgw-1", cidr_blocks = ["0.0.0.0/0"] }
  }

  expect_failures = [var.transit_gateway]
}

run "one_zone_is_refused" {
  command = plan

  variables {
    availability_zones = 1
  }

  expect_failures = [var.availability_zones]
}

run "addresses_that_are_none_are_refused" {
  command = plan

  variables {
    cidr_block = "10.42.0.0"
  }

  expect_failures = [var.cidr_block]
}

run "without_port_forwarding_there_is_no_endpoint_for_it" {
  variables {
    port_forwarding = false
  }

  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sns"])
    error_message = "An endpoint is paid for that nothing uses."
  }
}
