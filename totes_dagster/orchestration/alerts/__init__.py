"""Alerts about failures: incidents that open and close, the texts of alerts, and the sensor that publishes them."""
