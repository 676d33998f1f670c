"""Questions that the log answers: histories, the feed of changes, times."""
