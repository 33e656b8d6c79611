"""The simulated company: its rows, and how they change. Nothing here knows about lake, warehouse or Dagster."""
