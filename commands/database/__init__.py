"""What the event store needs of a database and a disk: it knows no events."""
