# What takes workers away that are idle: Application Auto Scaling. AWS makes up the ids of its targets.

locals {
  targets = "${local.arn.application-autoscaling}:scalable-target/*"

  read_scaling = [
    {
      Sid      = "ReadScaling"
      Effect   = "Allow"
      Action   = ["application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"]
      Resource = ["*"] # AWS knows no resources for these
    },
    {
      Sid      = "ReadTagsOfScaling"
      Effect   = "Allow"
      Action   = ["application-autoscaling:ListTagsForResource"]
      Resource = [local.targets]
    },
  ]

  write_scaling = [
    {
      Sid       = "MakeScaling"
      Effect    = "Allow"
      Action    = ["application-autoscaling:RegisterScalableTarget", "application-autoscaling:TagResource"]
      Resource  = [local.targets]
      Condition = local.made_ours
    },
    {
      Sid    = "ChangeScaling"
      Effect = "Allow"
      Action = [
        "application-autoscaling:DeleteScalingPolicy",
        "application-autoscaling:DeregisterScalableTarget",
        "application-autoscaling:PutScalingPolicy",
        "application-autoscaling:RegisterScalableTarget",
        "application-autoscaling:UntagResource",
      ]
      Resource  = [local.targets]
      Condition = local.is_ours
    },
    {
      Sid      = "MakeRoleOfScaling" # by which it changes how many tasks a service has
      Effect   = "Allow"
      Action   = ["iam:CreateServiceLinkedRole"]
      Resource = ["${local.iam}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"]
      Condition = {
        StringEquals = { "iam:AWSServiceName" = "ecs.application-autoscaling.amazonaws.com" }
      }
    },
  ]
}
