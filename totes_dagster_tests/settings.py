"""Settings that name a whole platform, for tests that connect to none of it."""

ALL = {
    "TOTESYS_URL": "postgresql://reader:s3cret-t@source.example.com/totesys",
    "WAREHOUSE_URL": "postgresql://writer:s3cret-w@warehouse.example.com/analytics",
    "TOTES_INGESTION_LAKE": "file:///tmp/totes-tests-settings/ingestion",
    "TOTES_PROCESSED_LAKE": "file:///tmp/totes-tests-settings/processed",
}

SECRETS = {"TOTESYS_SECRET_ID": "totesys-secret", "WAREHOUSE_SECRET_ID": "warehouse-secret"}
