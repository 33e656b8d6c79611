# The ways to AWS's services. Each costs by the hour, so there are no more than what is needed, in as few zones as wanted.

locals {
  interface_endpoints = toset(concat([
    "ecr.api",        # images: where their layers are
    "ecr.dkr",        # images: their manifests
    "ecs",            # EcsRunLauncher starts, watches and stops runs; runs ask for workers
    "logs",           # what containers print
    "secretsmanager", # logins of the databases
    "sns",            # alerts
    ], var.port_forwarding ? [
    "ssmmessages", # port forwarding to the UI
  ] : []))
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Endpoints of AWS services: HTTPS from within the network."
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  description       = "HTTPS from within the network"
  security_group_id = aws_security_group.endpoints.id
  cidr_ipv4         = aws_vpc.this.cidr_block
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Credentials of other accounts do not work from here.
data "aws_iam_policy_document" "own_credentials" {
  statement {
    sid       = "PrincipalsOfThisAccount"
    actions   = ["*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_endpoints

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${data.aws_region.current.name}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  security_group_ids  = [aws_security_group.endpoints.id]
  subnet_ids          = [for zone in slice(local.zones, 0, var.endpoint_zones) : aws_subnet.private[zone].id]
  # Not port forwarding's: AWS does not document that its endpoint takes a policy.
  policy = each.key == "ssmmessages" ? null : data.aws_iam_policy_document.own_credentials.json

  tags = { Name = "${var.name}-${each.key}" }
}

# Nobody can carry data off to buckets of other accounts from here; the second statement is for the layers of images, which
# ECR keeps in a bucket of its own.
data "aws_iam_policy_document" "s3" {
  statement {
    sid       = "BucketsOfThisAccount"
    actions   = ["s3:DeleteObject", "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    resources = ["*"] # narrowed by the account

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }

  statement {
    sid       = "LayersOfImages"
    actions   = ["s3:GetObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::prod-${data.aws_region.current.name}-starport-layer-bucket/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${data.aws_region.current.name}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  policy            = data.aws_iam_policy_document.s3.json

  tags = { Name = "${var.name}-s3" }
}
