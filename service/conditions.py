"""Conditional requests (RFC 9110 §13): entity tags, and what a client says of those it has."""

import re

from service.requests import CinelogRequest

_TAG = re.compile(r'(?:W/)?"[^"]*"')
_VERSION = re.compile(r'"(\d{1,15})"')
_LIST = re.compile(r'(?:W/)?"p(\d{1,15})"')


def movie_tag(version: int) -> str:
    """Return the tag of a movie: its version, strong."""
    return f'"{version}"'


def list_tag(position: int) -> str:
    """Return the tag of a list: the position it shows, weak, since not every event changes it."""
    return f'W/"p{position}"'


def expected_versions(request: CinelogRequest) -> tuple[int, ...] | None:
    """Return the versions of ``If-Match`` (strong comparison); None where any will do."""
    tags = _tags(request, "if-match")
    if tags is None or tags == ["*"]:
        return None
    found = (_VERSION.fullmatch(tag) for tag in tags)
    return tuple(int(tag[1]) for tag in found if tag)


def none_match(request: CinelogRequest, tag: str) -> bool:
    """Return whether ``If-None-Match`` has ``tag`` (weak comparison): the client has it all."""
    tags = _tags(request, "if-none-match")
    return tags is not None and (tags == ["*"] or tag in [one.removeprefix("W/") for one in tags])


def known_position(request: CinelogRequest) -> int | None:
    """Return the latest position among the list tags of ``If-None-Match`` (weak comparison)."""
    tags = _tags(request, "if-none-match") or []
    return max((int(found[1]) for tag in tags if (found := _LIST.fullmatch(tag))), default=None)


def knows_any(request: CinelogRequest) -> bool:
    """Return whether ``If-None-Match`` is ``*``, which whatever there is matches."""
    return _tags(request, "if-none-match") == ["*"]


def _tags(request: CinelogRequest, header: str) -> list[str] | None:
    given = request.headers.getall(header, None)
    if given is None:
        return None
    text = ",".join(given).strip()
    return ["*"] if text == "*" else _TAG.findall(text)
