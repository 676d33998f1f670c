"""The log in PostgreSQL: its tables, and its rows as they are read."""
