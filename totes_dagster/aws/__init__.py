"""What the platform asks of AWS besides the lake: sessions, secrets, the Glue catalogue, and metrics for CloudWatch."""
