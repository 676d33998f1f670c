"""The write side: aggregates, their events, command handlers, the event store."""
