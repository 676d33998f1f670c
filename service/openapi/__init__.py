"""The API's description of itself: OpenAPI 3.1.

An ``Operation`` decorates the handler of each route. ``writer`` writes operations as OpenAPI,
``document`` puts the whole description together. Paths and methods come from the router, schemas
from the models that the routes use, refusals from ``service/web/problems.py``.
"""
