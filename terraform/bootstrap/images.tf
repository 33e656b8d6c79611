# The repository of images. One image serves all environments: what was tried in dev is, to the byte, what runs in prod. So
# where environments have accounts of their own, the repository is in one of them, and the others pull from it.

locals {
  image_repository_arn = var.image_repository_arn == null ? aws_ecr_repository.this[0].arn : var.image_repository_arn
}

moved {
  from = aws_ecr_repository.this
  to   = aws_ecr_repository.this[0]
}

moved {
  from = aws_ecr_lifecycle_policy.this
  to   = aws_ecr_lifecycle_policy.this[0]
}

resource "aws_ecr_repository" "this" {
  count = var.image_repository_arn == null ? 1 : 0

  name                 = "totes_dagster"
  image_tag_mutability = "IMMUTABLE" # a tag is a commit, or one build of it, and means one image for ever

  encryption_configuration {
    encryption_type = "KMS"
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

# Whoever pulls needs no right on the repository's key: ECR decrypts, by a grant of the repository's own.
resource "aws_ecr_repository_policy" "this" {
  count = var.image_repository_arn == null && length(var.image_reader_accounts) > 0 ? 1 : 0

  repository = aws_ecr_repository.this[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = [for account in var.image_reader_accounts : "arn:${local.partition}:iam::${account}:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}

resource "aws_ecr_lifecycle_policy" "this" {
  count = var.image_repository_arn == null ? 1 : 0

  repository = aws_ecr_repository.this[0].name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "What no tag leads to was never deployed."
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
        action       = { type = "expire" }
      },
      {
        # What a rule's tags select, no later rule expires: production's image stays, however much is merged without
        # being deployed there.
        rulePriority = 2
        description  = "The last 50 images that production has run."
        selection    = { tagStatus = "tagged", tagPatternList = ["deployed-*"], countType = "imageCountMoreThan", countNumber = 50 }
        action       = { type = "expire" }
      },
      {
        # By number and not by age, so that what runs stays, however long nobody deploys.
        rulePriority = 3
        description  = "The last 100 images can be deployed again."
        selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = 100 }
        action       = { type = "expire" }
      },
    ]
  })
}
