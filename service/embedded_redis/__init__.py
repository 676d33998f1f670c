"""The embedded Redis (Valkey) of one data directory."""
