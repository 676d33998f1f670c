"""The read side: plain async functions that answer questions."""
