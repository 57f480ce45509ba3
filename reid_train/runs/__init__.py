"""What lies in a run's folder: settings, log, checkpoint, result."""
