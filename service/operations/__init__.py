"""Long work that operators start through the API, and what it reports."""
