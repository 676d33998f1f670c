"""Secrets of the settings that stand in files, as Docker and Kubernetes mount them.

1. ``CINELOG_EVENT_STORE_URL_FILE``, ``…_READ_URL_FILE`` and ``CINELOG_REDIS_URL_FILE`` name a file
   with the whole URL.
2. ``CINELOG_EVENT_STORE_PASSWORD_FILE``, ``…_READ_PASSWORD_FILE`` and
   ``CINELOG_REDIS_PASSWORD_FILE`` name a file with the password alone, for a URL without one.
3. A secret given twice, and a file that cannot be used, are refused. No message repeats a secret.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from commands.database.urls import with_password
from commands.errors import ConfigurationError

FILES = {
    "event_store_url": {
        "event_store_url_file": "File with the URL of the event store, instead of the URL itself.",
        "event_store_password_file": "File with the password for an event store URL without one.",
    },
    "event_store_read_url": {
        "event_store_read_url_file": "File with the URL of the replica, instead of the URL itself.",
        "event_store_read_password_file": "File with the password for a replica's URL without one.",
    },
    "redis_url": {
        "redis_url_file": "File with the URL of Redis, instead of the URL itself.",
        "redis_password_file": "File with the password for a Redis URL without one.",
    },
}
"""For each URL, the settings that name a file, and what they mean."""
MAX_BYTES = 16_384
_LINE_END = re.compile(r"\r?\n\Z")


def read_urls(prefix: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the URLs of which a file holds a part, by the name of their setting.

    One newline at the end of a file is not part of the secret. Raises ConfigurationError.
    """
    given = {name.upper(): value for name, value in environ.items() if value}
    found = {
        name: _url(given, *(f"{prefix}{one}".upper() for one in (name, *FILES[name])))
        for name in FILES
    }
    return {name: url for name, url in found.items() if url is not None}


def _url(given: Mapping[str, str], variable: str, url_file: str, password_file: str) -> str | None:
    if url_file in given:
        if variable in given:
            raise ConfigurationError(url_file, f"{variable} is set, too; set one of them")
        url = _read(url_file, given[url_file])
    elif password_file not in given:
        return None
    else:
        url = given.get(variable, "")
    if password_file not in given:
        return url
    try:
        return with_password(url, _read(password_file, given[password_file]))
    except ValueError as error:
        raise ConfigurationError(password_file, str(error)) from None


def _read(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(variable, f"{path} cannot be read ({error.strerror})") from None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(variable, f"{path} is not text in UTF-8") from None
    secret = _LINE_END.sub("", text)
    if not secret:
        raise ConfigurationError(variable, f"{path} is empty")
    if len(content) > MAX_BYTES or not secret.isprintable():
        raise ConfigurationError(variable, f"{path} holds more than one line of text")
    return secret
