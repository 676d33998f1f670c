"""The read-model writers: events in, Redis rows and a position out."""
