"""Whole generations from the log: rebuild, verify, repair, lists at a point in time."""
