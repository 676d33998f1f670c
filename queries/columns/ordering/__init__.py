"""The order of records: a key for each field, and the rows of a page in that order."""
