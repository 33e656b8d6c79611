# The whole platform of one environment, put together. Environments differ in what they pass to it, and in nothing else.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id

  port_forwarding = coalesce(var.port_forwarding, var.load_balancer == null)

  # Every role of the platform has this path.
  role_pattern = "arn:${local.partition}:iam::${local.account}:role/${var.name}/*"

  # Those that always run, so not that of workers.
  service_names = merge(
    module.dagster.service_names,
    { for dashboard in module.dashboard : "dashboard" => dashboard.service_name },
    { for workers in module.workers : "scheduler" => workers.scheduler_service_name },
  )

  # Databases that are not made here, with what the platform moves from one to the other.
  data_addresses = merge(
    { source = { cidr_block = var.source_database.cidr_block, port = var.source_database.port } },
    var.existing_warehouse == null ? {} : { warehouse = { cidr_block = var.existing_warehouse.cidr_block, port = var.existing_warehouse.port } },
  )

  # Of the one module instance, for all of it would wait for those who may reach the warehouse.
  warehouse_security_group_ids = var.existing_warehouse != null ? {} : { warehouse = module.warehouse[0].security_group_id }

  # Spelt out: the bucket would otherwise wait for the role, whose policy waits for the bucket.
  fetching_role_arn = "arn:${local.partition}:iam::${local.account}:role/${var.name}/${var.name}-exchange-rates"
}

module "key" {
  source = "../key"

  name        = "${var.name}-platform"
  description = "Logins, logs, databases and Dagster's storage of ${var.name}."
  services = {
    Logs = {
      principal = "logs.${data.aws_region.current.name}.amazonaws.com"
      actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
      conditions = [{
        test     = "ArnLike"
        variable = "kms:EncryptionContext:aws:logs:arn"
        values = [
          "arn:${local.partition}:logs:${data.aws_region.current.name}:${local.account}:log-group:/${var.name}/*",
          "arn:${local.partition}:logs:${data.aws_region.current.name}:${local.account}:log-group:/aws/rds/instance/${var.name}-*",
        ]
      }]
    }
  }
}

module "network" {
  source = "../network"

  name                     = var.name
  cidr_block               = var.network.cidr_block
  availability_zones       = var.network.availability_zones
  endpoint_zones           = var.network.endpoint_zones
  public                   = var.load_balancer != null
  port_forwarding          = local.port_forwarding
  source_network           = var.source_database.network
  transit_gateway          = var.transit_gateway
  kms_key_arn              = module.key.arn
  permissions_boundary_arn = var.permissions_boundary_arn
  log_retention_days       = var.log_retention_days
}

module "lake" {
  source = "../lake"

  name                     = var.name
  suffix                   = local.account
  platform_role_pattern    = local.role_pattern
  object_lock_days         = var.object_lock_days
  replication              = var.replication
  permissions_boundary_arn = var.permissions_boundary_arn
  force_destroy            = !var.deletion_protection
}

module "landing" {
  source = "../landing"

  name                  = var.name
  suffix                = local.account
  platform_role_pattern = local.role_pattern
  fetching_role_arn     = var.exchange_rates == null ? null : local.fetching_role_arn
  senders               = var.landing_senders
  expire_days           = var.landing_expire_days
  force_destroy         = !var.deletion_protection
}

module "exchange_rates" {
  source = "../exchange_rates"
  count  = var.exchange_rates == null ? 0 : 1

  name                     = var.name
  bucket_name              = module.landing.bucket_name
  bucket_arn               = module.landing.bucket_arn
  bucket_kms_key_arn       = module.landing.kms_key_arn
  base_url                 = var.exchange_rates.base_url
  currencies               = var.exchange_rates.currencies
  reserved_concurrency     = var.exchange_rates.reserved_concurrency
  architecture             = var.architecture
  logs_kms_key_arn         = module.key.arn
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

# What Athena answers, for some days.
module "query_results" {
  source = "../bucket"

  name            = "${var.name}-query-results-${local.account}"
  kms_key_arn     = module.lake.kms_key_arn
  noncurrent_days = 1
  expire_days     = 30
  force_destroy   = true
}

module "catalogue" {
  source = "../catalogue"

  name             = var.name
  ingestion_bucket = module.lake.bucket_names.ingestion
  processed_bucket = module.lake.bucket_names.processed
  results_bucket   = module.query_results.name
  kms_key_arn      = module.lake.kms_key_arn
  scan_limit_bytes = var.scan_limit_bytes

  projected_batches = var.projected_batches
}

module "warehouse" {
  source = "../warehouse"
  count  = var.existing_warehouse == null ? 1 : 0

  name       = var.name
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.private_subnet_ids
  client_security_group_ids = merge(
    module.dagster.warehouse_client_security_group_ids,
    { for dashboard in module.dashboard : "dashboard" => dashboard.security_group_id },
    { for workers in module.workers : "workers" => workers.security_group_id },
  )
  analyst_cidr_blocks = var.analyst_cidr_blocks
  kms_key_arn         = module.key.arn
  server              = merge(var.warehouse_server, { deletion_protection = var.deletion_protection, log_retention_days = var.log_retention_days })
  loader_password     = var.passwords.warehouse
  dashboard_enabled   = var.dashboard_enabled
  dashboard_password  = var.passwords.dashboard
  password_version    = var.password_version
}

module "dagster" {
  source = "../dagster"

  name                        = var.name
  suffix                      = local.account
  image                       = var.image
  provisioning_image          = var.provisioning_image
  image_repository_arn        = var.image_repository_arn
  architecture                = var.architecture
  runs                        = var.runs
  sizes                       = var.sizes
  paused                      = var.paused
  vpc_id                      = module.network.vpc_id
  private_subnet_ids          = module.network.private_subnet_ids
  public_subnet_ids           = module.network.public_subnet_ids
  endpoints_security_group_id = module.network.endpoints_security_group_id
  s3_prefix_list_id           = module.network.s3_prefix_list_id
  database_addresses = merge(
    local.data_addresses,
    var.existing_storage == null ? {} : { storage = { cidr_block = var.existing_storage.cidr_block, port = var.existing_storage.port } },
  )
  source_secret_arn         = var.source_database.secret_arn
  source_secret_kms_key_arn = var.source_database.secret_kms_key_arn
  source_capture            = var.source_database.capture
  warehouse = var.existing_warehouse != null ? {
    secret_arn         = var.existing_warehouse.secret_arn
    secret_kms_key_arn = var.existing_warehouse.secret_kms_key_arn
    } : {
    secret_arn               = module.warehouse[0].secret_arn
    administrator_secret_arn = module.warehouse[0].administrator_secret_arn
    reader_secret_arn        = module.warehouse[0].dashboard_secret_arn
  }
  database_security_group_ids = local.warehouse_security_group_ids
  warehouse_schema            = var.warehouse_schema
  existing_storage            = var.existing_storage
  storage_server              = merge(var.storage_server, { deletion_protection = var.deletion_protection, log_retention_days = var.log_retention_days })
  storage_password            = var.passwords.storage
  password_version            = var.password_version
  lake                        = module.lake
  landing                     = module.landing
  workers = var.workers == null ? null : {
    address      = module.workers[0].address
    service_name = module.workers[0].service_name
    count        = var.workers.count
    secret_arn   = module.workers[0].secret_arn
  }
  kms_key_arn              = module.key.arn
  alert_topic_arn          = module.observability.topic_arn
  alert_topic_kms_key_arn  = module.observability.topic_kms_key_arn
  log_group_names          = module.observability.log_group_names
  log_group_arns           = module.observability.log_group_arns
  permissions_boundary_arn = var.permissions_boundary_arn
  ssl_mode                 = var.ssl_mode
  container_insights       = var.container_insights
  load_balancer            = var.load_balancer
  port_forwarding          = local.port_forwarding
  force_destroy            = !var.deletion_protection
}

# At the load balancer of Dagster's UI, so that who may see the one may see the other.
module "dashboard" {
  source = "../dashboard"
  count  = var.dashboard_enabled ? 1 : 0

  name                        = var.name
  image                       = var.image
  image_repository_arn        = var.image_repository_arn
  architecture                = var.architecture
  paused                      = var.paused
  cluster_arn                 = module.dagster.cluster_arn
  vpc_id                      = module.network.vpc_id
  private_subnet_ids          = module.network.private_subnet_ids
  endpoints_security_group_id = module.network.endpoints_security_group_id
  s3_prefix_list_id           = module.network.s3_prefix_list_id
  warehouse = merge({ schema = var.warehouse_schema }, var.existing_warehouse != null ? {
    secret_arn         = var.existing_warehouse.dashboard_secret_arn
    secret_kms_key_arn = var.existing_warehouse.secret_kms_key_arn
    security_group_id  = null
    cidr_block         = var.existing_warehouse.cidr_block
    port               = var.existing_warehouse.port
    } : {
    secret_arn         = module.warehouse[0].dashboard_secret_arn
    secret_kms_key_arn = null
    security_group_id  = module.warehouse[0].security_group_id
    cidr_block         = null
    port               = 5432
  })
  load_balancer = merge(var.load_balancer, {
    listener_arn      = module.dagster.listener_arn
    security_group_id = module.dagster.load_balancer_security_group_id
  })
  kms_key_arn              = module.key.arn
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  ssl_mode                 = var.ssl_mode
}

# Off unless wanted: only first loads and rebuilds of very many rows are worth it.
module "workers" {
  source = "../workers"
  count  = var.workers == null ? 0 : 1

  name                        = var.name
  image                       = var.image
  image_repository_arn        = var.image_repository_arn
  architecture                = var.architecture
  workers                     = var.workers
  paused                      = var.paused
  cluster                     = { name = module.dagster.cluster_name, arn = module.dagster.cluster_arn }
  namespace                   = module.dagster.namespace
  vpc_id                      = module.network.vpc_id
  private_subnet_ids          = module.network.private_subnet_ids
  endpoints_security_group_id = module.network.endpoints_security_group_id
  s3_prefix_list_id           = module.network.s3_prefix_list_id
  run_security_group_ids      = module.dagster.run_security_group_ids
  database_addresses          = local.data_addresses
  database_security_group_ids = local.warehouse_security_group_ids
  environment                 = module.dagster.data_environment
  data_policy                 = module.dagster.data_policy
  kms_key_arn                 = module.key.arn
  log_retention_days          = var.log_retention_days
  permissions_boundary_arn    = var.permissions_boundary_arn
}

module "observability" {
  source = "../observability"

  name                = var.name
  kms_key_arn         = module.key.arn
  log_retention_days  = var.log_retention_days
  alert_emails        = var.alert_emails
  alert_subscriptions = var.alert_subscriptions
  cluster_name        = module.dagster.cluster_name
  cluster_arn         = module.dagster.cluster_arn
  service_names       = local.service_names
  databases = merge(
    var.existing_warehouse == null ? { warehouse = { identifier = module.warehouse[0].identifier, instance_class = module.warehouse[0].instance_class } } : {},
    var.existing_storage == null ? { storage = { identifier = module.dagster.storage_identifier, instance_class = module.dagster.storage_instance_class } } : {},
  )
  exchange_rates_function = one(module.exchange_rates[*].function_name)
  replication = var.replication == null ? null : {
    source_bucket      = module.lake.bucket_names.ingestion
    destination_bucket = split(":::", var.replication.bucket_arn)[1]
  }
  monthly_budget    = var.monthly_budget
  budget_of_account = var.budget_of_account
  paused            = var.paused
}
