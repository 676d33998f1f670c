"""What a store needs of PostgreSQL: its hosts, a pool of connections, checks of its pages."""
