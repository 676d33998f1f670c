"""Mirrors: what one process keeps of the read model in memory, and how it follows Redis."""
