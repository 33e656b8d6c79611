"""What the assets need of the outside world, as Dagster resources and IO managers."""
