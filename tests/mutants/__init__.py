"""Mutation tests of ``commands`` and ``projections``: ``make mutants``."""
