"""The AWS services that the platform uses besides S3: sessions, secrets, the Glue catalogue and CloudWatch metrics."""
