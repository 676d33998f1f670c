"""HTTP, accounts' tokens, command line, settings: the only place that wires things together."""
