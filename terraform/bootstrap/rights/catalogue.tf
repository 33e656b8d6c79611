# The lake's catalogue: Glue's databases and tables, whose names have no hyphens, and Athena's workgroups and queries.

locals {
  glue_name = replace(var.name, "-", "_")

  catalogue = [
    "${local.arn.glue}:catalog",
    "${local.arn.glue}:database/${local.glue_name}_*",
    "${local.arn.glue}:table/${local.glue_name}_*/*",
  ]

  workgroups = "${local.arn.athena}:workgroup/${var.name}"

  read_catalogue = [
    {
      Sid      = "ReadCatalogue"
      Effect   = "Allow"
      Action   = ["glue:GetDatabase", "glue:GetPartitionIndexes", "glue:GetTable", "glue:GetTags"]
      Resource = local.catalogue
    },
    {
      Sid      = "ReadWorkgroups"
      Effect   = "Allow"
      Action   = ["athena:GetNamedQuery", "athena:GetWorkGroup", "athena:ListTagsForResource"]
      Resource = [local.workgroups]
    },
  ]

  write_catalogue = [
    {
      Sid    = "ChangeCatalogue"
      Effect = "Allow"
      Action = [
        "glue:CreateDatabase",
        "glue:CreateTable",
        "glue:DeleteDatabase",
        "glue:DeleteTable",
        "glue:TagResource",
        "glue:UntagResource",
        "glue:UpdateDatabase",
        "glue:UpdateTable",
      ]
      Resource = concat(local.catalogue, ["${local.arn.glue}:userDefinedFunction/${local.glue_name}_*/*"]) # deleted with their database
    },
    {
      Sid    = "ChangeWorkgroups"
      Effect = "Allow"
      Action = [
        "athena:CreateNamedQuery",
        "athena:CreateWorkGroup",
        "athena:DeleteNamedQuery",
        "athena:DeleteWorkGroup",
        "athena:TagResource",
        "athena:UntagResource",
        "athena:UpdateWorkGroup",
      ]
      Resource = [local.workgroups]
    },
  ]
}
