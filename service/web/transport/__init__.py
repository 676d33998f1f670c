"""Connections: their bounds, the parser of requests, the address at the other end."""
