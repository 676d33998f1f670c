"""What a store needs of SQLite: its writer lock, a pool of connections, checks of its pages."""
