"""Rates as a setting writes them: ``10/minute``, ``100 per 5 minutes``, ``off``."""

import re
from typing import NamedTuple

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_FORM = re.compile(r"([1-9]\d{0,8})\s*(?:/|per)\s*([1-9]\d{0,4})?\s*(second|minute|hour|day)s?")
_OFF = "off"


class Rate(NamedTuple):
    """At most ``amount`` in a window of ``window_s`` seconds."""

    amount: int
    window_s: int


BY_ADDRESS = Rate(60, 60)
"""How often one address may try a password where the setting does not say."""


def parse_rate(text: str) -> Rate | None:
    """Return a rate, None for ``off``. Raises ValueError for anything else."""
    text = text.strip().lower()
    if text == _OFF:
        return None
    if not (found := _FORM.fullmatch(text)):
        raise ValueError('write it like "10/minute" or "100/5 minutes", or "off"')
    amount, windows, unit = found.groups()
    return Rate(int(amount), int(windows or 1) * _SECONDS[unit])


def parse_login_rate(text: str) -> tuple[Rate | None, Rate | None]:
    """Return the rates by username and by address of ``10/minute;60/minute``.

    One rate is that by username, and ``off`` alone turns both off. Raises ValueError.
    """
    by_username, separator, by_address = text.partition(";")
    first = parse_rate(by_username)
    if separator:
        return first, parse_rate(by_address)
    return first, BY_ADDRESS if first else None
