"""Metrics, logs, traces and the status of each part."""
