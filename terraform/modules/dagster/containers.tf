# What runs in the containers: one image, and for each service its command, its environment and how its health is asked.

locals {
  environment = merge(
    {
      AWS_REGION         = local.region
      AWS_DEFAULT_REGION = local.region
      DAGSTER_HOME       = local.runs_are_tasks ? "/opt/dagster" : "/opt/dagster/warm"

      DAGSTER_POSTGRES_HOST      = local.storage.host
      DAGSTER_POSTGRES_PORT      = tostring(local.storage.port)
      DAGSTER_POSTGRES_USER      = local.storage.username
      DAGSTER_POSTGRES_DB        = local.storage.database
      DAGSTER_COMPUTE_LOG_BUCKET = module.compute_logs.name

      DAGSTER_CODE_SERVER_HOST = local.code_server_host
      DAGSTER_CODE_SERVER_PORT = tostring(local.code_server_port)
    },
    local.tls,
  )

  # How databases are connected to.
  tls = merge({ PGSSLMODE = var.ssl_mode }, var.ssl_mode == "require" ? {} : { PGSSLROOTCERT = "/opt/totes/rds-ca.pem" })

  # Where the data is; workers find it by these too.
  data_environment = {
    TOTESYS_SECRET_ID    = var.source_secret_arn
    TOTES_CAPTURE        = var.source_capture
    WAREHOUSE_SECRET_ID  = var.warehouse.secret_arn
    WAREHOUSE_SCHEMA     = var.warehouse_schema
    TOTES_INGESTION_LAKE = "s3://${var.lake.bucket_names.ingestion}"
    TOTES_PROCESSED_LAKE = "s3://${var.lake.bucket_names.processed}"
  }

  # Of those that run the platform's own code.
  platform_environment = merge(
    local.data_environment,
    {
      TOTES_LANDING           = "s3://${var.landing.bucket_name}"
      TOTES_ALERT_TOPIC       = var.alert_topic_arn
      TOTES_METRICS_NAMESPACE = var.name
    },
    local.url == null ? {} : { TOTES_UI_URL = local.url },
  )

  # Of those that do runs, if there are workers to share large batches with.
  sharing = { for name, value in {
    TOTES_WORKERS           = try(var.workers.address, "")
    TOTES_WORKERS_SECRET_ID = try(var.workers.secret_arn, "")
    TOTES_WORKERS_SERVICE   = try("${aws_ecs_cluster.this.name}/${var.workers.service_name}:${var.workers.count}", "")
  } : name => value if var.workers != null }

  # Read by ECS when a task starts; in the task definition is only where it is.
  secrets = { DAGSTER_POSTGRES_PASSWORD = "${local.storage.secret_arn}:password::" }

  # Everything that a role's containers share, as ECS wants it written.
  base = {
    image                  = var.image
    essential              = true
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    stopTimeout            = 110 # seconds; Fargate allows 120
    linuxParameters        = { initProcessEnabled = true }
    mountPoints            = [{ sourceVolume = "scratch", containerPath = "/var/lib/totes", readOnly = false }]
    portMappings           = []
    systemControls         = []
    volumesFrom            = []
    secrets                = [for name, from in local.secrets : { name = name, valueFrom = from }]
  }

  logs_to = {
    for task in ["webserver", "daemon", "code-server", "run", "provision"] : task => {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = var.log_group_names[task]
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = task
        "mode"                  = "non-blocking" # a log service that does not answer must not stop the platform
        "max-buffer-size"       = "25m"
      }
    }
  }

  # Only the second one tells operators from others.
  webserver = local.operators == null ? "dagster-webserver" : "totes-webserver"

  containers = {
    webserver = {
      command      = [local.webserver, "--workspace", "/opt/dagster/workspace.yaml", "--host", "0.0.0.0", "--port", tostring(local.webserver_port)]
      environment  = merge(local.environment, local.operators)
      portMappings = [{ containerPort = local.webserver_port, hostPort = local.webserver_port, protocol = "tcp" }]
      # The agent that ECS adds for port forwarding writes to the root file system.
      readonlyRootFilesystem = !var.port_forwarding
      healthCheck = {
        command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${local.webserver_port}/server_info', timeout=5)"]
        interval    = 30
        timeout     = 10
        retries     = 3
        startPeriod = 120
      }
    }
    daemon = {
      command     = ["dagster-daemon", "run", "--workspace", "/opt/dagster/workspace.yaml"]
      environment = local.environment
      healthCheck = {
        command     = ["CMD", "dagster-daemon", "liveness-check"]
        interval    = 60
        timeout     = 50
        retries     = 3
        startPeriod = 180
      }
    }
    code-server = {
      command      = ["totes-code-server", "api", "grpc", "--module-name", "totes_dagster.definitions", "--host", "0.0.0.0", "--port", tostring(local.code_server_port)]
      environment  = merge(local.environment, local.platform_environment, local.runs_are_tasks ? {} : local.sharing)
      portMappings = [{ containerPort = local.code_server_port, hostPort = local.code_server_port, protocol = "tcp" }]
      healthCheck = {
        command     = ["CMD", "dagster", "api", "grpc-health-check", "--port", tostring(local.code_server_port)]
        interval    = 30
        timeout     = 20
        retries     = 3
        startPeriod = 120
      }
    }
    run = {
      command     = ["dagster", "--version"] # EcsRunLauncher says what to run instead
      environment = merge(local.environment, local.platform_environment, local.sharing)
    }
    provision = {
      image   = coalesce(var.provisioning_image, var.image)
      command = ["totes", "provision", "--roles", "/opt/totes/roles"]
      environment = merge(
        local.environment,
        local.platform_environment,
        { for name, arn in local.provisioning : name => arn if arn != null },
        { for name, arn in local.sharing : name => arn if name == "TOTES_WORKERS_SECRET_ID" }, # which it fills
      )
    }
  }

  # The secrets of what this deployment made itself, and so has to set up: what exists already is somebody else's affair.
  provisioning = {
    WAREHOUSE_ADMIN_SECRET_ID        = var.warehouse.administrator_secret_arn
    WAREHOUSE_READER_SECRET_ID       = var.warehouse.reader_secret_arn
    DAGSTER_POSTGRES_SECRET_ID       = var.existing_storage == null ? local.storage.secret_arn : null
    DAGSTER_POSTGRES_ADMIN_SECRET_ID = one(module.storage[*].administrator_secret_arn)
  }
}
