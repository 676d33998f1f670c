"""One generation of the read model: its state, what writes it and what reads it."""
