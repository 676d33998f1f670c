"""Browsers: the service's own origin, pages of other origins, cookies of sessions."""
