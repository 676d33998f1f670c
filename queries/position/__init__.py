"""Positions of the read model: what it has reached, and what an answer may not fall below."""
