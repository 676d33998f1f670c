"""Backups: parts of the log in a directory or an object store, and the way back."""
