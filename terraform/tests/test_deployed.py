"""What exists once the dev environment is applied, asked of AWS itself and not of Terraform."""

import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from terraform.tests.commands import Root
from terraform.tests.conftest import BACKEND, Deployed
from terraform.tests.emulator import ACCOUNT, REGION, Emulator
from terraform.tests.gaps import GAPS

ROLES = f"arn:aws:iam::{ACCOUNT}:role/totes-dev"


def test_a_second_plan_changes_nothing_but_what_the_emulator_forgets(second_plan: dict[str, Any]) -> None:
    forgotten: dict[str, set[str]] = {}
    for found in second_plan["resource_changes"]:
        change = found["change"]
        if change["actions"] == ["no-op"] or found["mode"] != "managed":
            continue
        assert change["actions"] == ["update"], found["address"]
        names = {name for name in change["after"] if change["after"][name] != (change["before"] or {}).get(name)}
        names |= {name for name, unknown in change["after_unknown"].items() if unknown is True}
        forgotten.setdefault(found["type"], set()).update(names)
    assert forgotten == GAPS


def test_the_state_is_in_its_bucket_and_holds_no_password(
    deployed: Deployed, ask: Any, secrets_with_values: Callable[[], list[dict[str, Any]]]
) -> None:
    state = deployed.root.state()
    listed = ask("s3").list_objects_v2(Bucket=deployed.bootstrap["state_bucket"])["Contents"]
    assert "totes-dev/terraform.tfstate" in [found["Key"] for found in listed]
    for value in secrets_with_values():
        if "password" in value:
            assert len(value["password"]) > 7
            assert value["password"] not in state


def test_a_plan_is_kept_by_who_made_it_and_holds_the_state_but_no_password(
    deployed: Deployed, secrets_with_values: Callable[[], list[dict[str, Any]]]
) -> None:
    deployed.root.run("plan", "-lock=false", "-out=kept.tfplan")
    with zipfile.ZipFile(deployed.root.folder / "kept.tfplan") as plan:
        parts = {name: plan.read(name).decode(errors="replace") for name in plan.namelist()}
    assert deployed.outputs["warehouse_secret_arn"] in parts["tfstate"]
    for value in secrets_with_values():
        if "password" in value:
            assert not any(value["password"] in part for part in parts.values())


def test_prod_can_be_planned_with_everything_that_is_optional(
    deployed: Deployed, settings: dict[str, str], aws: Emulator, ask: Any
) -> None:
    # Planned only: applied, it would be waited for.
    closed = {"AllowAdminCreateUserOnly": True}
    pool = ask("cognito-idp").create_user_pool(PoolName="example", AdminCreateUserConfig=closed)["UserPool"]
    ask("cognito-idp").create_group(UserPoolId=pool["Id"], GroupName="operators")
    root = Root(deployed.root.folder.parent / "prod", {**settings, **aws.environment})
    variables = json.loads((deployed.root.folder / "emulator.auto.tfvars.json").read_text())
    network = {"vpc_id": "vpc-0123456789abcdef0", "cidr_block": "10.1.0.0/16", "route_table_ids": ["rtb-1", "rtb-2"]}
    root.connect(
        {
            **variables,
            "permissions_boundary_arn": deployed.bootstrap["boundary_arns"]["prod"],
            "source_database": {**variables["source_database"], "network": network},
            "architecture": "ARM64",
            "runs": "warm",
            "dashboard_enabled": True,
            "load_balancer": {
                "host_name": "dagster.example.com",
                "certificate_arn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/example",
                "user_pool_arn": pool["Arn"],
                "user_pool_client_id": "example",
                "user_pool_domain": "example",
            },
        },
        backend=BACKEND,
    )
    start = aws.mark()
    planned = {found["address"]: found["change"] for found in root.plan()["resource_changes"]}
    asked = {action for action in aws.actions(start) if action.startswith("cognito-idp:")}
    assert asked == {"cognito-idp:DescribeUserPool", "cognito-idp:GetGroup"}
    assert asked <= set(deployed.bootstrap["plan_actions"])
    assert {tuple(change["actions"]) for change in planned.values()} <= {("create",), ("read",)}
    kinds = {address.rpartition("module.")[2].split(".")[1] for address in planned}
    assert {"aws_lb_listener", "aws_lb_listener_rule", "aws_vpc_peering_connection", "aws_internet_gateway"} <= kinds
    platforms = [
        change["after"]["runtime_platform"][0]["cpu_architecture"]
        for address, change in planned.items()
        if ".aws_ecs_task_definition." in address
    ]
    assert platforms == ["ARM64"] * 8  # of Dagster, of the dashboard, and of workers
    (function,) = [change for address, change in planned.items() if ".aws_lambda_function." in address]
    assert function["after"]["architectures"] == ["arm64"]
    for address, change in planned.items():
        if ".aws_db_instance." in address:
            assert change["after"]["deletion_protection"] is True
            assert change["after"]["skip_final_snapshot"] is False
            assert change["after"]["multi_az"] is ("warehouse" in address)
            assert change["after"]["apply_immediately"] is False
            assert change["after"]["allow_major_version_upgrade"] is False


def test_what_is_said_of_rules_is_made_of_what_ec2_takes(second_plan: dict[str, Any]) -> None:
    # It refuses an apostrophe, and the emulator takes anything.
    said = [
        found["values"]["description"]
        for found in resources(second_plan["planned_values"]["root_module"])
        if found["type"].startswith(("aws_security_group", "aws_vpc_security_group"))
    ]
    assert len(said) > 10
    assert [words for words in said if not re.fullmatch(r"[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]{1,255}", words)] == []


def resources(module: dict[str, Any]) -> list[dict[str, Any]]:
    """All resources of a module, and of those in it."""
    return [
        *module.get("resources", []),
        *(one for child in module.get("child_modules", []) for one in resources(child)),
    ]


EVERYONE = {"sts:GetCallerIdentity"}
"""What may be asked by whoever asks."""

STATE = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
"""What is done to objects of the state's bucket, and to no others: another policy of the roles allows that."""


def test_what_applying_asks_for_is_what_its_role_may(deployed: Deployed) -> None:
    assert deployed.applying - EVERYONE - STATE <= set(deployed.bootstrap["deploy_actions"])


def test_what_planning_asks_for_is_what_its_role_may(deployed: Deployed, aws: Emulator) -> None:
    start = aws.mark()
    # As the workflow does it: refreshing would read the secrets.
    deployed.root.run("plan", "-refresh=false", "-lock=false")
    asked = aws.actions(start)
    assert asked > EVERYONE
    assert asked - EVERYONE - STATE <= set(deployed.bootstrap["plan_actions"])


def test_what_planning_a_deployment_asks_for_is_what_its_role_may(deployed: Deployed, aws: Emulator) -> None:
    start = aws.mark()
    deployed.root.run("plan", "-lock=false")
    asked = aws.actions(start) - EVERYONE - STATE
    statements = json.loads(deployed.bootstrap["policies"]["preview-dev"])["Statement"]
    besides = {action for statement in statements for action in statement["Action"]} - STATE
    assert asked <= {*deployed.bootstrap["plan_actions"], *besides}
    # It reads logins to compare them. Once the provider no longer does, the role must no longer be allowed to.
    assert "secretsmanager:GetSecretValue" in asked


def test_other_accounts_that_are_named_can_pull_images(deployed: Deployed, ask: Any) -> None:
    policy = json.loads(ask("ecr").get_repository_policy(repositoryName="totes_dagster")["policyText"])
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"AWS": ["arn:aws:iam::210987654321:root"]}
    assert "ecr:BatchGetImage" in statement["Action"]
    assert "ecr:PutImage" not in statement["Action"]


def test_production_has_a_vault_of_backups_before_it_is_there_itself(deployed: Deployed, ask: Any) -> None:
    vault = ask("backup").describe_backup_vault(BackupVaultName=deployed.bootstrap["backup_vaults"]["prod"])
    assert vault["MinRetentionDays"] == 35
    (plan,) = ask("backup").list_backup_plans()["BackupPlansList"]
    (rule,) = ask("backup").get_backup_plan(BackupPlanId=plan["BackupPlanId"])["BackupPlan"]["Rules"]
    assert rule["TargetBackupVaultName"] == "totes-prod"
    assert rule["Lifecycle"]["DeleteAfterDays"] == 35


class TestLake:
    @pytest.fixture(params=["ingestion", "processed"])
    def bucket(self, request: pytest.FixtureRequest, deployed: Deployed) -> str:
        name: str = deployed.outputs["lake"][request.param]
        return name

    def test_nothing_is_public(self, bucket: str, ask: Any) -> None:
        blocked = ask("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
        owned = ask("s3").get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        assert owned == [{"ObjectOwnership": "BucketOwnerEnforced"}]

    def test_everything_is_versioned_and_encrypted_by_a_key_of_ours(self, bucket: str, ask: Any) -> None:
        assert ask("s3").get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        (rule,) = ask("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["BucketKeyEnabled"] is True
        default = rule["ApplyServerSideEncryptionByDefault"]
        assert default["SSEAlgorithm"] == "aws:kms"
        key = ask("kms").describe_key(KeyId=default["KMSMasterKeyID"])["KeyMetadata"]
        assert key["KeyManager"] == "CUSTOMER"
        assert ask("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is True

    def test_the_platform_cannot_delete_and_nobody_can_overwrite(self, bucket: str, ask: Any) -> None:
        policy = json.loads(ask("s3").get_bucket_policy(Bucket=bucket)["Policy"])
        statements = {statement["Sid"]: statement for statement in policy["Statement"]}
        assert {statement["Effect"] for statement in statements.values()} == {"Deny"}
        never = statements["PlatformNeverDeletes"]
        assert {"s3:DeleteObject", "s3:DeleteObjectVersion"} <= set(never["Action"])
        assert never["Condition"] == {"ArnLike": {"aws:PrincipalArn": f"{ROLES}/*"}}
        assert never["Resource"] == f"arn:aws:s3:::{bucket}/*"
        nobody = statements["NobodyOverwrites"]
        assert nobody["Action"] == "s3:PutObject"
        assert nobody["Condition"]["Null"] == {"s3:if-none-match": "true"}
        assert statements["OnlyByTls"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    def test_what_is_old_moves_to_where_it_can_still_be_read_at_once(self, bucket: str, ask: Any) -> None:
        (rule,) = ask("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
        assert {found["StorageClass"]: found["Days"] for found in rule["Transitions"]} == {
            "STANDARD_IA": 90,
            "GLACIER_IR": 365,
        }
        assert "Expiration" not in rule


def test_only_the_ingestion_zone_is_copied(deployed: Deployed, ask: Any) -> None:
    found = ask("s3").get_bucket_replication(Bucket=deployed.outputs["lake"]["ingestion"])["ReplicationConfiguration"]
    assert found["Role"] == f"{ROLES}/totes-dev-replication"
    (rule,) = found["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["Destination"]["Bucket"] == "arn:aws:s3:::example-copy"
    assert rule["Destination"]["Account"] == "210987654321"
    assert rule["Destination"]["AccessControlTranslation"] == {"Owner": "Destination"}
    with pytest.raises(ask("s3").exceptions.ClientError, match="ReplicationConfigurationNotFoundError"):
        ask("s3").get_bucket_replication(Bucket=deployed.outputs["lake"]["processed"])


class TestDatabases:
    @pytest.fixture(params=["totes-dev-warehouse", "totes-dev-dagster"])
    def server(self, request: pytest.FixtureRequest, deployed: Deployed, ask: Any) -> dict[str, Any]:
        found = ask("rds").describe_db_instances(DBInstanceIdentifier=request.param)
        server: dict[str, Any] = found["DBInstances"][0]
        return server

    def test_it_is_private_encrypted_and_backed_up(self, server: dict[str, Any]) -> None:
        assert server["PubliclyAccessible"] is False
        assert server["StorageEncrypted"] is True
        assert server["BackupRetentionPeriod"] == 7
        assert server["DeletionProtection"] is False  # of dev; see the tests of the module `platform` for prod

    def test_its_administrator_has_a_password_that_rds_manages(self, server: dict[str, Any]) -> None:
        assert server["MasterUserSecret"]["SecretStatus"] == "active"
        assert server["MasterUserSecret"]["KmsKeyId"] == server["KmsKeyId"]

    def test_it_takes_no_connection_without_tls(self, server: dict[str, Any], ask: Any) -> None:
        (group,) = server["DBParameterGroups"]
        pages = ask("rds").get_paginator("describe_db_parameters")
        found = {
            parameter["ParameterName"]: parameter.get("ParameterValue")
            for page in pages.paginate(DBParameterGroupName=group["DBParameterGroupName"])
            for parameter in page["Parameters"]
        }
        assert found["rds.force_ssl"] == "1"

    def test_only_tasks_that_need_it_workers_and_analysts_can_connect(
        self, server: dict[str, Any], deployed: Deployed, ask: Any
    ) -> None:
        (group,) = server["VpcSecurityGroups"]
        filters = [{"Name": "group-id", "Values": [group["VpcSecurityGroupId"]]}]
        rules = ask("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        entries = [rule for rule in rules if not rule["IsEgress"]]
        assert {rule["FromPort"] for rule in entries} == {5432}
        peers = {rule.get("ReferencedGroupInfo", {}).get("GroupId") or rule["CidrIpv4"] for rule in entries}
        named = [{"Name": "group-name", "Values": ["totes-dev-workers"]}]
        (workers,) = ask("ec2").describe_security_groups(Filters=named)["SecurityGroups"]
        tasks = deployed.outputs["task_security_group_ids"]
        if server["DBInstanceIdentifier"] == "totes-dev-warehouse":
            assert peers == {tasks["run"], tasks["provision"], "10.2.0.0/24", workers["GroupId"]}
        else:
            assert peers == set(tasks.values())

    @pytest.mark.parametrize("name", ["totes-dev-warehouse-loader", "totes-dev-dagster-storage"])
    def test_its_login_is_one_secret_that_says_everything(self, name: str, deployed: Deployed, ask: Any) -> None:
        value = json.loads(ask("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
        assert value.keys() == {"host", "port", "database", "username", "password"}
        assert len(value["password"]) == 40
        assert value["password"].isalnum()


class TestNetwork:
    def test_there_is_no_way_to_the_internet(self, deployed: Deployed, ask: Any) -> None:
        ec2 = ask("ec2")
        vpcs = {found["VpcId"] for found in ec2.describe_vpcs(Filters=[tagged()])["Vpcs"]}
        assert len(vpcs) == 1
        assert ec2.describe_nat_gateways()["NatGateways"] == []
        attached = ec2.describe_internet_gateways()["InternetGateways"]
        assert not vpcs & {attachment["VpcId"] for gateway in attached for attachment in gateway["Attachments"]}
        for table in ec2.describe_route_tables(Filters=[tagged()])["RouteTables"]:
            assert "0.0.0.0/0" not in [route.get("DestinationCidrBlock") for route in table["Routes"]]

    def test_what_is_needed_of_aws_is_reached_by_endpoints(self, deployed: Deployed, ask: Any) -> None:
        endpoints = ask("ec2").describe_vpc_endpoints(Filters=[tagged()])["VpcEndpoints"]
        names = {found["ServiceName"].removeprefix(f"com.amazonaws.{REGION}.") for found in endpoints}
        assert names == {"ecr.api", "ecr.dkr", "ecs", "logs", "s3", "secretsmanager", "sns", "ssmmessages"}

    def test_of_databases_a_task_reaches_those_that_it_needs(self, deployed: Deployed, ask: Any) -> None:
        databases = {
            server["VpcSecurityGroups"][0]["VpcSecurityGroupId"]: server["DBInstanceIdentifier"]
            for server in ask("rds").describe_db_instances()["DBInstances"]
        }
        reached = {}
        for task, group in deployed.outputs["task_security_group_ids"].items():
            filters = [{"Name": "group-id", "Values": [group]}]
            rules = ask("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
            exits = [
                rule for rule in rules if rule["IsEgress"] and rule["IpProtocol"] == "tcp" and rule["ToPort"] == 5432
            ]
            peers = {rule.get("ReferencedGroupInfo", {}).get("GroupId") or rule["CidrIpv4"] for rule in exits}
            reached[task] = {databases.get(peer, peer) for peer in peers}
        storage, warehouse, source = "totes-dev-dagster", "totes-dev-warehouse", "10.1.0.0/24"
        assert reached == {
            "webserver": {storage},
            "daemon": {storage},
            "code-server": {storage, source},
            "run": {storage, source, warehouse},
            "provision": {storage, warehouse},
        }

    def test_no_load_balancer_listens_unless_wanted(self, deployed: Deployed, ask: Any) -> None:
        assert ask("elbv2").describe_load_balancers()["LoadBalancers"] == []


def tagged() -> dict[str, Any]:
    return {"Name": "tag:Environment", "Values": ["dev"]}
