"""The groups of operations in the description."""

MOVIES = "Movies"
EVENTS = "Events"
ACCOUNTS = "Accounts"
TOKENS = "Tokens"
OPERATORS = "Operations"
DESCRIPTION = "Description"
TAGS = {
    MOVIES: "Movies belong to the account that created them; all accounts see them.",
    EVENTS: "The history of movies, read from the log, and its summary.",
    ACCOUNTS: "Registration, password, sessions and history of one's own account.",
    TOKENS: "Short-lived access tokens, single-use refresh tokens, personal tokens for scripts.",
    OPERATORS: "Probes and metrics; status, jobs and accounts for operators.",
    DESCRIPTION: "This document.",
}
