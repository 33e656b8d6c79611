# An HTTPS way to the UI, for those who want one. Whoever comes has logged in first: by OpenID Connect, at a Cognito user
# pool, to which a company adds its own identity provider. (A listener can ask another provider directly, but Terraform
# would keep that one's client secret in its state.) The load balancer knows no groups of users: the webserver does.

locals {
  public = var.load_balancer != null
  url    = local.public ? "https://${var.load_balancer.host_name}" : null

  user_pool = local.public ? {
    id     = split("/", var.load_balancer.user_pool_arn)[1]
    region = split(":", var.load_balancer.user_pool_arn)[3]
  } : null

  # How the webserver knows operators; null if everybody is one.
  operators = try(var.load_balancer.operators_group, "") == "" ? null : {
    DAGSTER_OPERATORS_GROUP  = var.load_balancer.operators_group
    DAGSTER_OPERATORS_ISSUER = "https://cognito-idp.${local.user_pool.region}.amazonaws.com/${local.user_pool.id}"
    DAGSTER_OPERATORS_CLIENT = var.load_balancer.user_pool_client_id
  }
}

data "aws_cognito_user_pool" "this" {
  count = local.public ? 1 : 0

  user_pool_id = local.user_pool.id

  lifecycle {
    postcondition {
      condition     = self.admin_create_user_config[0].allow_admin_create_user_only
      error_message = "Anybody can sign up at the user pool ${local.user_pool.id}, and would see everything here. Turn self-registration off."
    }
  }
}

# Without the group, nobody could change anything.
data "aws_cognito_user_group" "operators" {
  count = local.operators == null ? 0 : 1

  user_pool_id = local.user_pool.id
  name         = var.load_balancer.operators_group
}

resource "aws_security_group" "load_balancer" {
  count = local.public ? 1 : 0

  name        = "${var.name}-load-balancer"
  description = "The load balancer of ${var.name}: HTTPS from those who are named."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  for_each = toset(local.public ? var.load_balancer.client_cidr_blocks : [])

  description       = "HTTPS from browsers"
  security_group_id = aws_security_group.load_balancer[0].id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "to_webserver" {
  count = local.public ? 1 : 0

  description                  = "The webserver"
  security_group_id            = aws_security_group.load_balancer[0].id
  referenced_security_group_id = aws_security_group.task["webserver"].id
  ip_protocol                  = "tcp"
  from_port                    = local.webserver_port
  to_port                      = local.webserver_port
}

# The listener itself asks the user pool, whose addresses are AWS's own.
resource "aws_vpc_security_group_egress_rule" "to_user_pool" {
  count = local.public ? 1 : 0

  description       = "The user pool, to check who logged in"
  security_group_id = aws_security_group.load_balancer[0].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "webserver" {
  count = local.public ? 1 : 0

  description                  = "The load balancer asks the webserver"
  security_group_id            = aws_security_group.task["webserver"].id
  referenced_security_group_id = aws_security_group.load_balancer[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.webserver_port
  to_port                      = local.webserver_port
}

resource "aws_lb" "this" {
  count = local.public ? 1 : 0

  name                       = var.name
  load_balancer_type         = "application"
  internal                   = false
  subnets                    = var.public_subnet_ids
  security_groups            = [aws_security_group.load_balancer[0].id]
  drop_invalid_header_fields = true
  enable_deletion_protection = !var.force_destroy
  idle_timeout               = 300 # Dagster's UI keeps a WebSocket open
}

resource "aws_lb_target_group" "this" {
  count = local.public ? 1 : 0

  name                 = var.name
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = local.webserver_port
  deregistration_delay = 30

  health_check {
    path    = "/server_info"
    matcher = "200"
  }
}

resource "aws_lb_listener" "https" {
  count = local.public ? 1 : 0

  load_balancer_arn = aws_lb.this[0].arn
  protocol          = "HTTPS"
  port              = 443
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.load_balancer.certificate_arn

  default_action {
    order = 1
    type  = "authenticate-cognito"

    authenticate_cognito {
      user_pool_arn              = var.load_balancer.user_pool_arn
      user_pool_client_id        = var.load_balancer.user_pool_client_id
      user_pool_domain           = var.load_balancer.user_pool_domain
      on_unauthenticated_request = "authenticate"
      scope                      = "openid"
      session_timeout            = 28800 # seconds: a working day
    }
  }

  default_action {
    order            = 2
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[0].arn
  }
}
