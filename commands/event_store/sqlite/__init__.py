"""The log in SQLite: its tables, and its pages as they are read without SQLite."""
