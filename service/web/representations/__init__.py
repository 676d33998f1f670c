"""Representations: the types of answers, for the type checker and the API's description."""
