"""Reads the rows of an import, whatever their format."""
