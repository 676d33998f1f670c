"""Events: histories, the feed, the stream and the summary by day."""
