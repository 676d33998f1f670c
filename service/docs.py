"""The API's description, ``/openapi.json``, and a page that shows it, ``/docs``.

The page is swagger-ui from our own files: it asks no other host for anything, and its
Content-Security-Policy would not let it.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from urllib.parse import urlsplit

import orjson
from sanic import Blueprint, Request, Sanic
from sanic.exceptions import NotFound

from service.conditions import none_match
from service.openapi.described import Json
from service.requests import CinelogRequest
from service.responses import HTTPResponse, empty
from service.settings import Settings

blueprint = Blueprint("docs")
