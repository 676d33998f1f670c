"""The log as it is stored: its events in order, its identity, its continuity, its accounts."""
