"""The API's description of itself: OpenAPI 3.1.

``described`` holds what there is to say of a route and turns it into OpenAPI; the tables
``of_movies``, ``of_log``, ``of_accounts`` and ``of_operations`` say it, keyed by the routes'
handlers; ``document`` puts all together. Paths and methods come from the router, schemas from the
models that the routes use, refusals from ``service/problems.py``.
"""
