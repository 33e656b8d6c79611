"""`totes dev`: Dagster on this machine, with the simulator beside it."""
