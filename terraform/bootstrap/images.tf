# The repository of images. One image serves all environments: what was tried in dev is, to the byte, what runs in prod.

resource "aws_ecr_repository" "this" {
  name                 = "totes_dagster"
  image_tag_mutability = "IMMUTABLE" # a tag is a commit, or one build of it, and means one image for ever

  encryption_configuration {
    encryption_type = "KMS"
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

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
