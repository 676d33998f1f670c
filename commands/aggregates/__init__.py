"""The aggregates: movies, accounts and claims, with their events and rules."""
