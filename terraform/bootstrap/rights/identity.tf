# The environment's roles and policies. A role can be made, and given rights, only if it carries the boundary; so whoever
# deploys can hand out no more than the boundary allows. The deploying role and the boundary lie outside the path.

locals {
  roles    = "${local.iam}:role/${var.name}/*"
  policies = "${local.iam}:policy/${var.name}/*"

  bounded = { StringEquals = { "iam:PermissionsBoundary" = var.boundary_arn } }

  read_identity = [
    {
      Sid    = "ReadRoles"
      Effect = "Allow"
      Action = [
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListAttachedRolePolicies",
        "iam:ListInstanceProfilesForRole",
        "iam:ListPolicyVersions",
        "iam:ListRolePolicies",
      ]
      Resource = [local.roles, local.policies]
    },
    {
      Sid      = "SayWhoOneIs"
      Effect   = "Allow"
      Action   = ["sts:GetCallerIdentity"]
      Resource = ["*"] # AWS knows no resources for this
    },
  ]

  write_identity = [
    {
      Sid    = "ChangeBoundedRoles"
      Effect = "Allow"
      Action = [
        "iam:CreateRole",
        "iam:DeleteRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:PutRolePolicy",
      ]
      Resource  = [local.roles]
      Condition = local.bounded
    },
    {
      Sid       = "AttachOurPoliciesToBoundedRoles"
      Effect    = "Allow"
      Action    = ["iam:AttachRolePolicy", "iam:DetachRolePolicy"]
      Resource  = [local.roles]
      Condition = merge(local.bounded, { ArnLike = { "iam:PolicyARN" = local.policies } })
    },
    {
      Sid    = "ChangeWhatGivesNoRights"
      Effect = "Allow"
      Action = [
        "iam:DeleteRole",
        "iam:TagRole",
        "iam:UntagRole",
        "iam:UpdateAssumeRolePolicy",
        "iam:UpdateRole",
        "iam:UpdateRoleDescription",
      ]
      Resource = [local.roles]
    },
    {
      Sid    = "ChangePolicies"
      Effect = "Allow"
      Action = [
        "iam:CreatePolicy",
        "iam:CreatePolicyVersion",
        "iam:DeletePolicy",
        "iam:DeletePolicyVersion",
        "iam:TagPolicy",
        "iam:UntagPolicy",
      ]
      Resource = [local.policies]
    },
    {
      Sid      = "GiveRolesToServices"
      Effect   = "Allow"
      Action   = ["iam:PassRole"]
      Resource = [local.roles]
      Condition = {
        StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com"] }
      }
    },
    {
      Sid      = "GiveRoleToTheFlowLog" # for which EC2 does not document whom it says that the role is passed to
      Effect   = "Allow"
      Action   = ["iam:PassRole"]
      Resource = ["${local.iam}:role/${var.name}/${var.name}-flow-logs"]
    },
    {
      # No allowance says otherwise; this holds even if somebody adds one.
      Sid      = "NeverTouchTheBoundary"
      Effect   = "Deny"
      Action   = ["iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:SetDefaultPolicyVersion"]
      Resource = [var.boundary_arn]
    },
    {
      Sid      = "NeverTakeTheBoundaryOff"
      Effect   = "Deny"
      Action   = ["iam:DeleteRolePermissionsBoundary"]
      Resource = ["${local.iam}:role/*"]
    },
  ]
}
