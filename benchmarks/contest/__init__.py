"""Measures this service beside what else one could take."""
