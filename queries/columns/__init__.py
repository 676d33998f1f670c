"""Searches the records of all movies in memory. Pure: no Redis."""
