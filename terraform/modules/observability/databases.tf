# Alarms of the database servers. What is too little for one is plenty for another, so thresholds go by the memory of its
# class.

locals {
  # GiB of a class of the size `large`, by the first letter of its family: t4g, m7g, r7g. Every size doubles the last one.
  memory_of_large = { t = 8, m = 8, r = 16 }
  sizes           = { micro = 1 / 8, small = 1 / 4, medium = 1 / 2, large = 1, xlarge = 2 }

  # Null for a class of another family, whose memory follows other rules.
  memory_gib = {
    for role, server in var.databases : role => try(
      local.memory_of_large[substr(server.instance_class, 3, 1)] * try(
        local.sizes[split(".", server.instance_class)[2]],
        2 * tonumber(trimsuffix(split(".", server.instance_class)[2], "xlarge")),
      ),
      null,
    )
  }

  storage_alarms = {
    for role, server in var.databases : "${role}-storage-low" => {
      description = "The ${role} database has little storage left, although RDS extends it by itself. Raise max_allocated_storage, or find what fills it."
      server      = server.identifier
      metric      = "FreeStorageSpace"
      comparison  = "LessThanThreshold"
      threshold   = server.free_storage_gib * 1024 * 1024 * 1024
      period      = 300
      periods     = 1
    }
  }

  cpu_alarms = {
    for role, server in var.databases : "${role}-cpu-high" => {
      description = "The ${role} database has been busy for 15 minutes: queries wait. See what it does in Performance Insights, or choose a larger instance_class."
      server      = server.identifier
      metric      = "CPUUtilization"
      comparison  = "GreaterThanThreshold"
      threshold   = 90
      period      = 300
      periods     = 3
    }
  }

  # RDS allows a connection for each 9,531,392 bytes of DBInstanceClassMemory, and 5,000 at most. That is less than the
  # memory of the class, by what RDS itself takes, which is most on small ones. So this is before all are in use.
  connection_alarms = {
    for role, server in var.databases : "${role}-connections-high" => {
      description = "The ${role} database has two thirds of the connections that it allows, or more. See in pg_stat_activity whose they are; choose a larger instance_class if all are needed."
      server      = server.identifier
      metric      = "DatabaseConnections"
      comparison  = "GreaterThanThreshold"
      threshold   = floor(0.6 * min(local.memory_gib[role] * pow(1024, 3) / 9531392, 5000))
      period      = 300
      periods     = 1
    } if local.memory_gib[role] != null
  }

  memory_alarms = {
    for role, server in var.databases : "${role}-memory-low" => {
      description = "The ${role} database has had less than a twentieth of its memory free for 15 minutes, and may begin to swap. See its queries in Performance Insights, or choose a larger instance_class."
      server      = server.identifier
      metric      = "FreeableMemory"
      comparison  = "LessThanThreshold"
      threshold   = floor(0.05 * local.memory_gib[role] * pow(1024, 3))
      period      = 300
      periods     = 3
    } if local.memory_gib[role] != null
  }

  # A new server has no credits yet, and earns some within an hour. One that has none for six hours uses more than it
  # earns. RDS does not slow it down; what it uses beyond a day's credits is paid for.
  credit_alarms = {
    for role, server in var.databases : "${role}-credits-used-up" => {
      description = "The ${role} database has used more CPU than its class includes, for hours, and AWS charges for what goes beyond. If that is no large load, which ends, choose a larger instance_class."
      server      = server.identifier
      metric      = "CPUCreditBalance"
      comparison  = "LessThanThreshold"
      threshold   = 1
      period      = 3600
      periods     = 6
    } if startswith(server.instance_class, "db.t")
  }

  database_alarms = merge(local.storage_alarms, local.cpu_alarms, local.connection_alarms, local.memory_alarms, local.credit_alarms)
}

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each = local.database_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = each.value.server }
  statistic           = "Average"
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = "missing"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}
