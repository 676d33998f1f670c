"""The API's description of itself: OpenAPI 3.1.

``described`` holds what there is to say of a route. The tables ``of_movies``, ``of_log``,
``of_accounts``, ``of_tokens`` and ``of_operations`` say it, keyed by the routes' handlers;
``render`` writes it as OpenAPI, ``document`` puts all together. Paths and methods come from the
router, schemas from the models that the routes use, refusals from ``service/web/problems.py``.
"""
