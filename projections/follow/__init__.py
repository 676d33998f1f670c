"""Following the log: batches of new events into the live generation."""
