"""The groups of operations in the description."""

MOVIES = "Movies"
EVENTS = "Events"
ACCOUNTS = "Accounts"
TOKENS = "Tokens"
OPERATORS = "Operations"
DESCRIPTION = "Description"
TAGS = {
    MOVIES: "Movies belong to the account that created them; all accounts see them.",
    EVENTS: "What happened, straight from the log.",
    ACCOUNTS: "Accounts look after themselves.",
    TOKENS: "Short-lived access tokens, and refresh tokens that are good once.",
    OPERATORS: "Probes and metrics, for operators.",
    DESCRIPTION: "This document.",
}
