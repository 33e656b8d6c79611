# Containers, the names that they find each other by, and a load balancer where one is wanted.

locals {
  ecs = {
    cluster  = "${local.arn.ecs}:cluster/${var.name}"
    services = "${local.arn.ecs}:service/${var.name}/${var.name}-*"
    tasks    = "${local.arn.ecs}:task/${var.name}/*"
    recipes  = "${local.arn.ecs}:task-definition/${var.name}-*:*"
  }

  balancer = {
    balancers = "${local.arn.elasticloadbalancing}:loadbalancer/app/${var.name}/*"
    listeners = "${local.arn.elasticloadbalancing}:listener/app/${var.name}/*"
    rules     = "${local.arn.elasticloadbalancing}:listener-rule/app/${var.name}/*"
    targets   = "${local.arn.elasticloadbalancing}:targetgroup/${var.name}/*"
    dashboard = "${local.arn.elasticloadbalancing}:targetgroup/${var.name}-dashboard/*"
  }

  read_compute = [
    {
      Sid      = "ReadContainers"
      Effect   = "Allow"
      Action   = ["ecs:DescribeClusters", "ecs:DescribeServices", "ecs:ListTagsForResource"]
      Resource = [local.ecs.cluster, local.ecs.services, local.ecs.recipes]
    },
    {
      Sid    = "ReadWhatHasNoName"
      Effect = "Allow"
      Action = [
        "ecs:DescribeTaskDefinition",
        "elasticloadbalancing:DescribeCapacityReservation",
        "elasticloadbalancing:DescribeListenerAttributes",
        "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeRules",
        "elasticloadbalancing:DescribeTags",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "elasticloadbalancing:DescribeTargetGroups",
        "servicediscovery:GetOperation",
        "servicediscovery:ListTagsForResource",
      ]
      Resource = ["*"] # AWS knows no resources for these
    },
    {
      Sid      = "ReadNamespaces"
      Effect   = "Allow"
      Action   = ["servicediscovery:GetNamespace", "servicediscovery:GetService"]
      Resource = local.namespaces
    },
    {
      Sid      = "ReadUserPool" # whether anybody can sign up, and whether there is a group of operators
      Effect   = "Allow"
      Action   = ["cognito-idp:DescribeUserPool", "cognito-idp:GetGroup"]
      Resource = [local.user_pools]
    },
  ]

  user_pools = "arn:${var.partition}:cognito-idp:${var.region}:${var.account_id}:userpool/*" # which may be anybody's

  # AWS makes up the ids, and lets no tag narrow what is done with them.
  namespaces = [for type in ["namespace", "service"] : "${local.arn.servicediscovery}:${type}/*"]

  zones = "arn:${var.partition}:route53:::hostedzone/*" # AWS makes up the ids, and lets no tag narrow what is done

  write_compute = [
    {
      Sid    = "ChangeContainers"
      Effect = "Allow"
      Action = [
        "ecs:CreateCluster",
        "ecs:CreateService",
        "ecs:DeleteCluster",
        "ecs:DeleteService",
        "ecs:PutClusterCapacityProviders",
        "ecs:RegisterTaskDefinition",
        "ecs:TagResource",
        "ecs:UntagResource",
        "ecs:UpdateCluster",
        "ecs:UpdateService",
      ]
      Resource = [local.ecs.cluster, local.ecs.services, local.ecs.recipes]
    },
    {
      Sid    = "MakeNamespaces"
      Effect = "Allow"
      Action = [
        "servicediscovery:CreatePrivateDnsNamespace",
        "servicediscovery:TagResource",
      ]
      Resource  = ["*"] # AWS knows no resources for these; the tag narrows them
      Condition = local.made_here
    },
    {
      Sid      = "UntagNamespaces"
      Effect   = "Allow"
      Action   = ["servicediscovery:UntagResource"]
      Resource = ["*"] # AWS knows no resources for this
    },
    {
      Sid    = "ChangeNamespaces"
      Effect = "Allow"
      Action = [
        "servicediscovery:CreateService",
        "servicediscovery:DeleteNamespace",
        "servicediscovery:DeleteService",
        "servicediscovery:UpdatePrivateDnsNamespace",
        "servicediscovery:UpdateService",
      ]
      Resource = local.namespaces
    },
    {
      Sid      = "MakeZones" # a namespace is a private hosted zone, made in the name of who makes the namespace
      Effect   = "Allow"
      Action   = ["route53:CreateHostedZone", "route53:ListHostedZonesByName"]
      Resource = ["*"] # AWS knows no resources for these
    },
    {
      Sid      = "AnswerUnderNamesOfAws" # as endpoints of AWS services do
      Effect   = "Allow"
      Action   = ["route53:AssociateVPCWithHostedZone"]
      Resource = [local.zones]
    },
    {
      Sid    = "ChangeZones"
      Effect = "Allow"
      Action = [
        "route53:ChangeResourceRecordSets",
        "route53:DeleteHostedZone",
        "route53:GetHostedZone",
      ]
      Resource  = [local.zones]
      Condition = { Bool = { "aws:ViaAWSService" = "true" } } # only as a part of what is done with a namespace
    },
    {
      Sid    = "ChangeBalancer"
      Effect = "Allow"
      Action = [
        "elasticloadbalancing:AddTags",
        "elasticloadbalancing:CreateListener",
        "elasticloadbalancing:CreateLoadBalancer",
        "elasticloadbalancing:CreateRule",
        "elasticloadbalancing:CreateTargetGroup",
        "elasticloadbalancing:DeleteListener",
        "elasticloadbalancing:DeleteLoadBalancer",
        "elasticloadbalancing:DeleteRule",
        "elasticloadbalancing:DeleteTargetGroup",
        "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:ModifyListenerAttributes",
        "elasticloadbalancing:ModifyLoadBalancerAttributes",
        "elasticloadbalancing:ModifyRule",
        "elasticloadbalancing:ModifyTargetGroup",
        "elasticloadbalancing:ModifyTargetGroupAttributes",
        "elasticloadbalancing:RemoveTags",
        "elasticloadbalancing:SetRulePriorities",
        "elasticloadbalancing:SetSecurityGroups",
        "elasticloadbalancing:SetSubnets",
      ]
      Resource = values(local.balancer)
    },
    {
      Sid      = "LogInAtUserPool" # the balancer only sends users there
      Effect   = "Allow"
      Action   = ["cognito-idp:DescribeUserPoolClient"]
      Resource = [local.user_pools]
    },
    {
      Sid    = "MakeRolesOfServices"
      Effect = "Allow"
      Action = ["iam:CreateServiceLinkedRole"]
      Resource = [
        "${local.iam}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
        "${local.iam}:role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing",
      ]
      Condition = {
        StringEquals = { "iam:AWSServiceName" = ["ecs.amazonaws.com", "elasticloadbalancing.amazonaws.com"] }
      }
    },
  ]
}
