# The network: VPC, subnets, routes, security groups, endpoints, peering, flow logs. AWS makes up all of these ids.

locals {
  read_network = [
    {
      Sid    = "ReadNetwork"
      Effect = "Allow"
      Action = [
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeFlowLogs",
        "ec2:DescribeInternetGateways",
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribePrefixLists",
        "ec2:DescribeRegions",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeTransitGatewayVpcAttachments",
        "ec2:DescribeTransitGateways",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeVpcPeeringConnections",
        "ec2:DescribeVpcs",
      ]
      Resource = ["*"] # AWS knows no resources for these
    },
    {
      Sid      = "ReadNetworkAttributes"
      Effect   = "Allow"
      Action   = ["ec2:DescribeVpcAttribute", "ec2:GetSecurityGroupsForVpc"] # the latter for load balancers
      Resource = ["${local.arn.ec2}:vpc/*"]
    },
    {
      # The provider asks how a gateway treats the attachment, where both are of one account.
      Sid      = "ReadTransitGatewayRoutes"
      Effect   = "Allow"
      Action   = ["ec2:GetTransitGatewayRouteTableAssociations", "ec2:GetTransitGatewayRouteTablePropagations"]
      Resource = ["${local.arn.ec2}:transit-gateway-route-table/*"]
    },
  ]

  write_network = concat([
    {
      Sid       = "MakeNetwork"
      Effect    = "Allow"
      Action    = ["ec2:CreateVpc"]
      Resource  = ["${local.arn.ec2}:vpc/*"]
      Condition = local.made_here
    },
    {
      Sid    = "MakePartsOfNetwork"
      Effect = "Allow"
      Action = concat(local.make_in_network, ["ec2:CreateInternetGateway"])
      Resource = [for type in [
        "internet-gateway", "route-table", "security-group", "security-group-rule", "subnet", "vpc-endpoint",
        "vpc-flow-log", "vpc-peering-connection",
      ] : "${local.arn.ec2}:${type}/*"]
      Condition = local.made_here
    },
    {
      Sid       = "MakeThemInOurNetwork" # AWS asks for the network as well as for what is made in it
      Effect    = "Allow"
      Action    = local.make_in_network
      Resource  = [for type in ["route-table", "security-group", "subnet", "vpc"] : "${local.arn.ec2}:${type}/*"]
      Condition = local.is_ours
    },
    {
      Sid    = "ChangeOurNetwork"
      Effect = "Allow"
      Action = [
        "ec2:AcceptVpcPeeringConnection",
        "ec2:AssociateRouteTable",
        "ec2:AttachInternetGateway",
        "ec2:CreateRoute",
        "ec2:CreateTags",
        "ec2:DeleteFlowLogs",
        "ec2:DeleteInternetGateway",
        "ec2:DeleteRoute",
        "ec2:DeleteRouteTable",
        "ec2:DeleteSecurityGroup",
        "ec2:DeleteSubnet",
        "ec2:DeleteTags",
        "ec2:DeleteVpc",
        "ec2:DeleteVpcEndpoints",
        "ec2:DeleteVpcPeeringConnection",
        "ec2:DetachInternetGateway",
        "ec2:DisassociateRouteTable",
        "ec2:ModifySecurityGroupRules",
        "ec2:ModifySubnetAttribute",
        "ec2:ModifyVpcAttribute",
        "ec2:ModifyVpcEndpoint",
        "ec2:ModifyVpcPeeringConnectionOptions",
        "ec2:ReplaceRoute",
        "ec2:ReplaceRouteTableAssociation",
        "ec2:RevokeSecurityGroupEgress",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:UpdateSecurityGroupRuleDescriptionsEgress",
        "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
      ]
      Resource  = local.network_types
      Condition = local.is_ours
    },
    {
      Sid       = "TagOurNetwork" # also a network's default security group, which AWS makes, without tags
      Effect    = "Allow"
      Action    = ["ec2:CreateTags"]
      Resource  = local.network_types
      Condition = local.made_ours
    },
    ], var.source_network == null ? [] : [
    {
      Sid      = "PeerWithSource"
      Effect   = "Allow"
      Action   = ["ec2:AcceptVpcPeeringConnection", "ec2:CreateVpcPeeringConnection"]
      Resource = ["${local.arn.ec2}:vpc/${var.source_network.vpc_id}"]
    },
    ], [for statement in local.attach_network : statement if var.transit_gateway_arn != null
    ], length(try(var.source_network.route_table_ids, [])) == 0 ? [] : [
    {
      Sid      = "RouteFromSource"
      Effect   = "Allow"
      Action   = ["ec2:CreateRoute", "ec2:DeleteRoute", "ec2:ReplaceRoute"]
      Resource = [for id in var.source_network.route_table_ids : "${local.arn.ec2}:route-table/${id}"]
    },
  ])

  attach_network = [
    {
      Sid      = "AttachToTransitGateway" # AWS asks for the gateway, the network and its subnets, and what is made
      Effect   = "Allow"
      Action   = ["ec2:CreateTransitGatewayVpcAttachment"]
      Resource = compact([var.transit_gateway_arn])
    },
    {
      Sid       = "AttachOurNetwork"
      Effect    = "Allow"
      Action    = ["ec2:CreateTransitGatewayVpcAttachment"]
      Resource  = [for type in ["subnet", "vpc"] : "${local.arn.ec2}:${type}/*"]
      Condition = local.is_ours
    },
    {
      Sid       = "MakeAttachment"
      Effect    = "Allow"
      Action    = ["ec2:CreateTransitGatewayVpcAttachment"]
      Resource  = ["${local.arn.ec2}:transit-gateway-attachment/*"]
      Condition = local.made_here
    },
    {
      Sid    = "ChangeOurAttachment"
      Effect = "Allow"
      Action = concat(local.route_attachment, [
        "ec2:DeleteTransitGatewayVpcAttachment",
        "ec2:ModifyTransitGatewayVpcAttachment",
      ])
      Resource  = ["${local.arn.ec2}:transit-gateway-attachment/*"]
      Condition = local.is_ours
    },
    {
      # The gateway's tables have the tags of whoever keeps it; what is attached to them is narrowed above.
      Sid      = "RouteOurAttachment"
      Effect   = "Allow"
      Action   = local.route_attachment
      Resource = ["${local.arn.ec2}:transit-gateway-route-table/*"]
    },
  ]

  # What the provider asks of the gateway's default table, where that has not taken the attachment by itself yet.
  route_attachment = ["ec2:AssociateTransitGatewayRouteTable", "ec2:EnableTransitGatewayRouteTablePropagation"]

  make_in_network = [
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:CreateFlowLogs",
    "ec2:CreateRouteTable",
    "ec2:CreateSecurityGroup",
    "ec2:CreateSubnet",
    "ec2:CreateVpcEndpoint",
    "ec2:CreateVpcPeeringConnection",
  ]

  network_types = [for type in [
    "internet-gateway", "route-table", "security-group", "security-group-rule", "subnet", "transit-gateway-attachment",
    "vpc", "vpc-endpoint", "vpc-flow-log", "vpc-peering-connection",
  ] : "${local.arn.ec2}:${type}/*"]
}
