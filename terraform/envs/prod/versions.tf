terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # The bucket and its region are named at `terraform init`: see the README of this folder's parent.
  backend "s3" {
    key          = "totes-prod/terraform.tfstate"
    use_lockfile = true # encrypted, as is the state, with the bucket's own key; `encrypt` would mean another
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project     = "totes_dagster"
      Environment = "prod"
      ManagedBy   = "terraform"
    }
  }
}
