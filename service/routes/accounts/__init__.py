"""Accounts: registration, tokens, sessions, passwords and personal tokens."""
