"""The platform in Dagster. No other package imports Dagster."""
