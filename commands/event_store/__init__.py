"""The event store: one log for movies, accounts and claims, on SQLite or PostgreSQL."""
