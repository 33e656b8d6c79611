# Its part of the load balancer: a path of the same address, behind the same login.

resource "aws_lb_target_group" "this" {
  name                 = local.service_name
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = local.port
  deregistration_delay = 30

  health_check {
    path    = local.alive
    matcher = "200"
  }
}

# A rule does not inherit the listener's login: without an action of its own, the path would be open to all. The session
# is the same, for its cookie has the same name: a user logs in once for both.
resource "aws_lb_listener_rule" "this" {
  listener_arn = var.load_balancer.listener_arn
  priority     = 10

  condition {
    path_pattern {
      values = [local.path, "${local.path}/*"]
    }
  }

  action {
    order = 1
    type  = "authenticate-cognito"

    authenticate_cognito {
      user_pool_arn              = var.load_balancer.user_pool_arn
      user_pool_client_id        = var.load_balancer.user_pool_client_id
      user_pool_domain           = var.load_balancer.user_pool_domain
      on_unauthenticated_request = "authenticate"
      scope                      = "openid"
      session_timeout            = 28800 # seconds, as for the UI
    }
  }

  action {
    order            = 2
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}
