"""glasscache telemetry."""
