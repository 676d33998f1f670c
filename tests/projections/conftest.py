"""Fixtures of the read side."""

from read_side import own_valkey, redis, story, valkey

__all__ = ["own_valkey", "redis", "story", "valkey"]
