"""What any request or answer is, knowing no route."""
