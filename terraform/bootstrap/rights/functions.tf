# Functions, and the schedules that invoke them.

locals {
  functions = "${local.arn.lambda}:function:${var.name}-*"
  schedules = "${local.arn.scheduler}:schedule/default/${var.name}-*"

  read_functions = [
    {
      Sid    = "ReadFunctions"
      Effect = "Allow"
      Action = [
        "lambda:GetFunction",
        "lambda:GetFunctionCodeSigningConfig",
        "lambda:GetFunctionEventInvokeConfig",
        "lambda:ListTags",
        "lambda:ListVersionsByFunction",
        "scheduler:GetSchedule",
      ]
      Resource = [local.functions, local.schedules]
    },
  ]

  write_functions = [
    {
      Sid    = "ChangeFunctions"
      Effect = "Allow"
      Action = [
        "lambda:CreateFunction",
        "lambda:DeleteFunction",
        "lambda:DeleteFunctionConcurrency",
        "lambda:DeleteFunctionEventInvokeConfig",
        "lambda:GetFunctionConfiguration", # to wait until a change is done
        "lambda:PutFunctionConcurrency",
        "lambda:PutFunctionEventInvokeConfig",
        "lambda:TagResource",
        "lambda:UntagResource",
        "lambda:UpdateFunctionCode",
        "lambda:UpdateFunctionConfiguration",
        "scheduler:CreateSchedule",
        "scheduler:DeleteSchedule",
        "scheduler:UpdateSchedule",
      ]
      Resource = [local.functions, local.schedules]
    },
  ]
}
