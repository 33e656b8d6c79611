# Whom the roles trust, what holds them back, and how the state is kept. No AWS is asked: the provider is a mock.

mock_provider "aws" {
  override_during = plan # nothing is applied: what is protected from being destroyed could not be cleaned up

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/totes/mocked" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/totes/mocked" }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-2:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::example-state" }
  }
  mock_resource "aws_ecr_repository" {
    defaults = { arn = "arn:aws:ecr:eu-west-2:123456789012:repository/totes_dagster" }
  }
}

variables {
  github_repository = "example/totes_dagster"
  region            = "eu-west-2"
  state_bucket_name = "example-state"
}

run "each_role_trusts_one_kind_of_workflow_run" {
  command = plan

  assert {
    condition = { for role, resource in aws_iam_role.this : role => jsondecode(resource.assume_role_policy).Statement } == {
      for role, subject in {
        plan           = "repo:example/totes_dagster:pull_request"
        push           = "repo:example/totes_dagster:ref:refs/heads/main"
        "preview-dev"  = "repo:example/totes_dagster:ref:refs/heads/main"
        "preview-prod" = "repo:example/totes_dagster:ref:refs/heads/main"
        "deploy-dev"   = "repo:example/totes_dagster:environment:dev"
        "deploy-prod"  = "repo:example/totes_dagster:environment:prod"
        } : role => [{
          Sid       = "GitHub"
          Effect    = "Allow"
          Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
          Action    = "sts:AssumeRoleWithWebIdentity"
          Condition = {
            StringEquals = {
              "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
              "token.actions.githubusercontent.com:sub" = subject
            }
          }
      }]
    }
    error_message = "A role trusts others than the workflow runs it is for."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : role.path == "/totes/" && startswith(role.name, "totes-")])
    error_message = "A role lies where a deploying role could change it."
  }
}

run "an_existing_provider_of_identities_is_used" {
  command = plan

  variables {
    existing_oidc_provider_arn = "arn:aws:iam::999999999999:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0
    error_message = "A second provider would be made, which AWS refuses."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : jsondecode(role.assume_role_policy).Statement[0].Principal.Federated == var.existing_oidc_provider_arn])
    error_message = "The roles do not trust the provider that is there."
  }
}

run "rights_are_spelt_out" {
  command = plan

  assert {
    condition = alltrue([
      for document in values(output.policies) : alltrue([
        for action in flatten(jsondecode(document).Statement[*].Action) : can(regex("^[a-z0-9-]+:[A-Za-z]+$", action))
      ])
    ])
    error_message = "An action has a wildcard, or is none."
  }

  assert {
    condition     = alltrue([for document in values(output.policies) : length(document) <= 6144])
    error_message = "A policy is longer than IAM allows."
  }

  assert {
    condition     = alltrue([for role, policies in { for attachment in aws_iam_role_policy_attachment.this : attachment.role => attachment... } : length(policies) <= 10])
    error_message = "IAM attaches ten policies to a role."
  }
}

run "a_plan_changes_nothing_and_reads_no_secret" {
  command = plan

  assert {
    condition     = alltrue([for action in output.plan_actions : can(regex(":(Describe|Get|List|ViewBudget$)", action))])
    error_message = "The planning role may do more than read."
  }

  assert {
    condition     = !contains(output.plan_actions, "secretsmanager:GetSecretValue") && !contains(output.plan_actions, "s3:GetObject")
    error_message = "The planning role may read secrets, or the lake."
  }

  assert {
    condition     = toset([for name, attachment in local.attachments : attachment.policy if attachment.role == "plan"]) == toset(["dev-read-foundations", "dev-read-services", "prod-read-foundations", "prod-read-services", "plan-state"])
    error_message = "The planning role has other policies than those that read."
  }

  assert {
    condition     = alltrue([for statement in local.read_state : !contains(statement.Action, "s3:PutObject") && !contains(statement.Action, "s3:DeleteObject")])
    error_message = "The planning role may write the state, or its lock."
  }
}

run "plans_are_written_by_what_is_merged_and_read_by_who_applies_them" {
  command = plan

  assert {
    condition = {
      for name, document in output.policies : name => [
        for statement in jsondecode(document).Statement : statement.Action
        if anytrue([for resource in flatten([statement.Resource]) : can(regex(":example-state/plans/", resource))])
      ] if can(regex(":example-state/plans/", document))
      } == {
      "preview-dev" = [["s3:PutObject"]], "preview-prod" = [["s3:PutObject"]],
      "dev-state"   = [["s3:GetObject"]], "prod-state" = [["s3:GetObject"]],
    }
    error_message = "Plans can be written or read by others than those who make and apply them."
  }

  assert {
    condition = toset([for name, attachment in local.attachments : attachment.policy if attachment.role == "preview-prod"]) == toset([
      "prod-read-foundations", "prod-read-services", "preview-prod",
    ])
    error_message = "The role that plans a deployment may do more than read, and keep the plan."
  }

  assert {
    condition = alltrue([
      for environment, statements in local.preview : alltrue([
        for statement in statements : alltrue([
          for resource in statement.Resource : can(regex(":secret:totes-${environment}-(dagster-storage|warehouse-loader|warehouse-dashboard)-", resource))
        ]) if contains(statement.Action, "secretsmanager:GetSecretValue")
      ])
    ])
    error_message = "The role that plans a deployment can read other secrets than the logins that Terraform made."
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.state.rule : rule.expiration[0].days == 31 && rule.filter[0].prefix == "plans/" if rule.id == "plans"])
    error_message = "Plans are kept for ever, or states are not."
  }
}

run "a_deployment_of_production_cannot_destroy_data" {
  command = plan

  assert {
    condition = { for environment, statements in local.write_state : environment => flatten([for statement in statements : statement.Action if statement.Sid == "NeverDestroyData"]) } == {
      dev = []
      prod = [
        "kms:DisableKey", "kms:ScheduleKeyDeletion", "rds:DeleteDBInstance", "rds:DeleteDBInstanceAutomatedBackup",
        "rds:DeleteDBSnapshot", "s3:DeleteBucket", "s3:DeleteObjectVersion",
      ]
    }
    error_message = "The deploying role of production can delete what holds data."
  }

  assert {
    condition     = contains(local.attached["deploy-prod"], "prod-state")
    error_message = "What is denied is not attached."
  }
}

run "production_is_backed_up_where_no_deployment_can_delete" {
  command = plan

  assert {
    condition     = keys(aws_backup_vault.this) == ["prod"] && keys(aws_backup_plan.this) == ["prod"] && output.backup_vaults == { prod = "totes-prod" }
    error_message = "Production has a vault unless told otherwise, and nothing else has one."
  }

  assert {
    condition     = one(aws_backup_plan.this["prod"].rule).schedule == "cron(0 6 * * ? *)" && one(one(aws_backup_plan.this["prod"].rule).lifecycle).delete_after == 35
    error_message = "There is a backup a day, kept for 35 days."
  }

  assert {
    condition     = one(aws_backup_selection.this["prod"].resources) == "arn:aws:rds:eu-west-2:123456789012:db:totes-prod-*"
    error_message = "Both databases of the environment are backed up, and no others."
  }

  assert {
    condition     = aws_backup_vault_lock_configuration.this["prod"].min_retention_days == 35 && aws_backup_vault_lock_configuration.this["prod"].changeable_for_days == null
    error_message = "The lock is one that an administrator can take off."
  }

  assert {
    condition     = [for statement in local.write_state["prod"] : statement.Effect if contains(statement.Action, "backup:DeleteRecoveryPoint") && contains(statement.Action, "backup:DeleteBackupVault") && contains(statement.Action, "backup:PutBackupVaultAccessPolicy")] == ["Deny"]
    error_message = "The deploying role is not denied to empty the vault."
  }

  assert {
    condition     = alltrue([for action in output.deploy_actions : !startswith(action, "backup:")]) && aws_iam_role.backup["prod"].path == "/totes/"
    error_message = "A deploying role has rights on backups, or on the role that takes them."
  }
}

run "a_vault_can_be_locked_against_everybody_and_dev_can_have_one" {
  command = plan

  variables {
    backups = { dev = { retention_days = 7 }, prod = { retention_days = 90, lock = "compliance" } }
  }

  assert {
    condition     = aws_backup_vault_lock_configuration.this["prod"].changeable_for_days == 3 && aws_backup_vault_lock_configuration.this["prod"].min_retention_days == 90
    error_message = "After three days, nobody can take the lock off."
  }

  assert {
    condition     = length([for statement in local.write_state["dev"] : statement if statement.Sid == "NeverEmptyTheVault"]) == 1 && length([for statement in local.write_state["dev"] : statement if statement.Sid == "NeverDestroyData"]) == 0
    error_message = "Whoever deploys dev may destroy it, but not its backups."
  }
}

run "a_lock_that_is_none_is_refused" {
  command = plan

  variables {
    backups = { prod = { lock = "strict" } }
  }

  expect_failures = [var.backups]
}

run "one_environment_has_no_rights_on_another" {
  command = plan

  assert {
    condition     = alltrue([for name, attachment in local.attachments : attachment.role != "deploy-dev" || startswith(attachment.policy, "dev-")])
    error_message = "The role that deploys dev has policies of another environment."
  }

  assert {
    condition     = alltrue([for name, document in output.policies : !startswith(name, "dev-") || !can(regex("prod", document))])
    error_message = "A policy of dev names something of prod."
  }
}

run "no_role_without_the_boundary" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for environment, rights in module.rights : [
        for statement in rights.write.identity : try(statement.Condition.StringEquals["iam:PermissionsBoundary"], null) == aws_iam_policy.boundary[environment].arn
        if statement.Effect == "Allow" && length(setintersection(statement.Action, [
          "iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary",
        ])) > 0
      ]
    ]))
    error_message = "A role can be made, or given rights, without the boundary."
  }

  assert {
    condition     = !contains(output.deploy_actions, "iam:DeleteRolePermissionsBoundary")
    error_message = "A boundary can be taken off a role."
  }

  assert {
    condition = alltrue(flatten([
      for environment, rights in module.rights : [
        for statement in rights.write.identity : [
          for resource in statement.Resource : can(regex(":(role|policy)/totes-${environment}/(\\*|totes-${environment}-flow-logs)$", resource))
        ] if statement.Effect == "Allow"
      ]
    ]))
    error_message = "Roles or policies outside the environment's path can be changed: the boundary or the deploying role itself."
  }
}

run "the_boundary_is_far_from_all_rights" {
  command = plan

  assert {
    condition = length([
      for document in values(aws_iam_policy.boundary)[*].policy : document
      if length(regexall("\"(iam|sts|organizations|ec2|rds):(Create|Put|Attach|Update|Delete|Modify|Assume)", document)) > 0
    ]) == 0
    error_message = "The boundary lets a task change roles, networks or servers."
  }
}

run "a_task_can_change_the_workers_alone" {
  command = plan

  assert {
    condition = {
      for environment, statements in local.boundaries : environment => flatten([
        for statement in statements : statement.Resource
        if length(setintersection(statement.Action, ["ecs:UpdateService", "secretsmanager:PutSecretValue"])) > 0
      ])
      } == {
      for environment in ["dev", "prod"] : environment => [
        "arn:aws:secretsmanager:eu-west-2:123456789012:secret:totes-${environment}-workers-*",
        "arn:aws:ecs:eu-west-2:123456789012:service/totes-${environment}/totes-${environment}-workers",
      ]
    }
    error_message = "The boundary lets a task change other services, or write other secrets, than those of workers."
  }
}

run "the_lake_is_copied_to_the_place_that_is_named_and_to_no_other" {
  command = plan

  variables {
    replications = { dev = { bucket_arn = "arn:aws:s3:::example-copy", kms_key_arn = "arn:aws:kms:eu-west-1:210987654321:key/22222222-2222-2222-2222-222222222222" } }
  }

  assert {
    condition = { for environment, statements in local.boundaries : environment => flatten([for statement in statements : statement.Resource if contains(statement.Action, "s3:ReplicateObject") || contains(statement.Action, "kms:Encrypt")]) } == {
      dev  = ["arn:aws:s3:::example-copy/*", "arn:aws:kms:eu-west-1:210987654321:key/22222222-2222-2222-2222-222222222222"]
      prod = []
    }
    error_message = "The boundary lets a role copy to another place, or in another environment."
  }

  assert {
    condition = { for environment, rights in module.rights : environment => flatten([
      for statement in rights.write.storage : statement.Resource if length(setintersection(statement.Action, ["s3:PutReplicationConfiguration", "iam:PassRole"])) > 0
      ]) } == {
      dev  = ["arn:aws:s3:::totes-dev-ingestion-*", "arn:aws:iam::123456789012:role/totes-dev/totes-dev-replication"]
      prod = []
    }
    error_message = "A deployment may have another bucket copied, or give S3 another role."
  }

  assert {
    condition     = alltrue([for document in values(output.policies) : length(document) <= 6144])
    error_message = "A policy is longer than IAM allows."
  }
}

run "what_scales_another_environment_is_out_of_reach" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for environment, rights in module.rights : [
        for statement in flatten(values(rights.write)) : contains(values(try(statement.Condition.StringEquals, {})), environment)
        if anytrue([for action in statement.Action : startswith(action, "application-autoscaling:")])
      ]
    ]))
    error_message = "Application Auto Scaling can be changed without the environment's tag."
  }
}

run "the_state_is_kept_well" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "A state that was spoilt could not be had back."
  }

  assert {
    condition = alltrue([for rule in aws_s3_bucket_server_side_encryption_configuration.state.rule :
    rule.bucket_key_enabled && rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.state.arn])
    error_message = "The state is not encrypted with its own key."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state.block_public_acls,
      aws_s3_bucket_public_access_block.state.block_public_policy,
      aws_s3_bucket_public_access_block.state.ignore_public_acls,
      aws_s3_bucket_public_access_block.state.restrict_public_buckets,
      aws_s3_bucket_ownership_controls.state.rule[0].object_ownership == "BucketOwnerEnforced",
    ])
    error_message = "The state could be made public."
  }

  assert {
    condition = [for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement : [statement.Effect, statement.Action, statement.Condition] if statement.Sid == "OnlyByTls"] == [
      ["Deny", "s3:*", { Bool = { "aws:SecureTransport" = "false" } }],
    ]
    error_message = "The state could be asked for without TLS."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.state.rule[0].noncurrent_version_expiration[0].noncurrent_days >= 365
    error_message = "Old states are gone too soon."
  }
}

run "images_are_what_their_tags_say" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this[0].image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this[0].image_scanning_configuration[0].scan_on_push
    error_message = "A tag can come to mean another image, or images are not scanned."
  }
}

run "nobody_else_pulls_unless_named" {
  command = plan

  assert {
    condition     = length(aws_ecr_repository_policy.this) == 0
    error_message = "Another account may pull images."
  }
}

run "the_account_with_the_images_lets_others_pull" {
  command = plan

  variables {
    environments          = ["dev"]
    image_reader_accounts = ["210987654321"]
  }

  assert {
    condition = jsondecode(aws_ecr_repository_policy.this[0].policy).Statement == [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = ["arn:aws:iam::210987654321:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
    error_message = "The other account may do more, or less, than pull."
  }

  assert {
    condition     = toset(keys(aws_iam_role.this)) == toset(["plan", "push", "preview-dev", "deploy-dev"]) && length(aws_backup_vault.this) == 0
    error_message = "There is something of an environment that is elsewhere."
  }
}

run "an_account_can_have_one_environment_and_no_images" {
  command = plan

  variables {
    environments         = ["prod"]
    image_repository_arn = "arn:aws:ecr:eu-west-2:210987654321:repository/totes_dagster"
  }

  assert {
    condition     = length(aws_ecr_repository.this) + length(aws_ecr_lifecycle_policy.this) + length(aws_ecr_repository_policy.this) == 0
    error_message = "A second repository would be made."
  }

  assert {
    condition     = toset(keys(aws_iam_role.this)) == toset(["plan", "preview-prod", "deploy-prod"]) && !contains(keys(output.policies), "push")
    error_message = "Something could push images that nobody pulls."
  }

  assert {
    condition     = [for statement in local.boundaries["prod"] : statement.Resource if statement.Sid == "Images"] == [[var.image_repository_arn]]
    error_message = "Tasks may not pull from the other account."
  }

  assert {
    condition     = output.image_repository_arn == var.image_repository_arn && output.image_repository_url == "210987654321.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster"
    error_message = "The images are said to be elsewhere."
  }

  assert {
    condition     = keys(aws_backup_vault.this) == ["prod"]
    error_message = "Production has no backups."
  }
}

run "images_of_another_region_are_refused" {
  command = plan

  variables {
    image_repository_arn = "arn:aws:ecr:eu-west-1:210987654321:repository/totes_dagster"
  }

  expect_failures = [var.image_repository_arn]
}

run "a_repository_that_is_a_pattern_is_refused" {
  command = plan

  variables {
    github_repository = "example/*"
  }

  expect_failures = [var.github_repository]
}

run "a_repository_whose_tokens_have_ids_is_trusted_by_them" {
  command = plan

  variables {
    github_repository_ids = { owner = 123456, repository = 789012345678 }
  }

  assert {
    condition = { for role, resource in aws_iam_role.this : role => jsondecode(resource.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] } == {
      plan           = "repo:example@123456/totes_dagster@789012345678:pull_request"
      push           = "repo:example@123456/totes_dagster@789012345678:ref:refs/heads/main"
      "preview-dev"  = "repo:example@123456/totes_dagster@789012345678:ref:refs/heads/main"
      "preview-prod" = "repo:example@123456/totes_dagster@789012345678:ref:refs/heads/main"
      "deploy-dev"   = "repo:example@123456/totes_dagster@789012345678:environment:dev"
      "deploy-prod"  = "repo:example@123456/totes_dagster@789012345678:environment:prod"
    }
    error_message = "A role does not trust tokens whose subject has the ids of the repository and its owner."
  }
}

run "ids_that_are_none_are_refused" {
  command = plan

  variables {
    github_repository_ids = { owner = 0, repository = 1.5 }
  }

  expect_failures = [var.github_repository_ids]
}

run "a_state_that_an_environment_could_change_is_refused" {
  command = plan

  variables {
    state_bucket_name = "totes-dev-state"
  }

  expect_failures = [var.state_bucket_name]
}
