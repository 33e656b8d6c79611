# How workers are taken away: once all of them have been idle for a quarter of an hour. It is AWS that does so, and not the
# run that asked for them, so that a run that died leaves no cost behind. Nothing here starts any.

resource "aws_appautoscaling_target" "workers" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.workers.name}"
  min_capacity       = 0
  max_capacity       = var.workers.count
}

resource "aws_appautoscaling_policy" "stop" {
  name               = "${var.name}-workers-stop"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.workers.service_namespace
  scalable_dimension = aws_appautoscaling_target.workers.scalable_dimension
  resource_id        = aws_appautoscaling_target.workers.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = 0
    }
  }
}

# Of the busiest worker, so that one that still works keeps the others too. An idle one takes a few percent of a core, to say
# that it is there. Where none runs there is nothing to measure, and nothing to take away.
resource "aws_cloudwatch_metric_alarm" "idle" {
  alarm_name          = "${var.name}-workers-idle"
  alarm_description   = "No worker had anything to do for 15 minutes, and all of them are stopped. That is as it should be."
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = { ClusterName = var.cluster.name, ServiceName = aws_ecs_service.workers.name }
  statistic           = "Maximum"
  comparison_operator = "LessThanThreshold"
  threshold           = 10 * 1024 / var.workers.cpu # percent of a worker: a tenth of a core
  period              = 60
  evaluation_periods  = 15
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.stop.arn]
}
