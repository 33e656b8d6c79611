"""`totes dev`: runs Dagster on this machine, with the simulator beside it."""
