"""Where the emulator does not keep what it is told, so that a second plan would change it again. AWS does keep it.

Only these may be in a second plan, and each must be: what the emulator learns meanwhile has to be taken off.
"""

GAPS: dict[str, set[str]] = {
    # It takes services without these, and so does not give them back.
    "aws_ecs_service": {"availability_zone_rebalancing", "enable_ecs_managed_tags", "enable_execute_command"},
    # It forgets what a rule is for.
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
    # It does not know Performance Insights.
    "aws_db_instance": {"performance_insights_enabled", "performance_insights_kms_key_id"},
    # It keeps the tags of an attachment apart.
    "aws_ec2_transit_gateway_vpc_attachment": {"tags", "tags_all"},
    # It does not know where a function logs.
    "aws_lambda_function": {"logging_config"},
    # It does not give back what of a bucket is copied, and how it is encrypted there.
    "aws_s3_bucket_replication_configuration": {"rule"},
    # It keeps parameters, but cannot be asked for those only that were set.
    "aws_db_parameter_group": {"parameter"},
}
"""Attributes, by the type of their resource."""
