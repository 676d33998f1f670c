"""Conditional requests (RFC 9110, 13): entity tags and preconditions.

1. Preconditions count on every method. A read is checked when its answer is ready
   (``service/middleware.py``), a write to a movie by the command's handler, against the version
   that it is about to change. A stream has no tag.
2. ``If-Match`` comes first and compares strongly, ``If-None-Match`` second and weakly. Tags are
   opaque text: ``"004"`` is not ``"4"``.
3. A malformed header lists no tag: it permits no write and saves no transfer.
4. No answer has ``Last-Modified``, so preconditions on a date are ignored (13.1.3).
"""

import re
from collections.abc import Iterable

from commands.aggregates.movie import Versions
from commands.errors import PreconditionFailedError, VersionConflictError
from service.web.request import CinelogRequest

CONDITIONS = _MATCH, _NONE_MATCH = "if-match", "if-none-match"
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*+"'
_TAGS = re.compile(_TAG)
# A list of tags (5.6.1): elements may be empty, and white space surrounds the commas.
_FIELD = re.compile(rf"[ \t]*+(?:{_TAG})?+[ \t]*+(?:,[ \t]*+(?:{_TAG})?+[ \t]*+)*+")
_VERSION = re.compile(r'"(0|[1-9]\d{0,14})"')
_LIST = re.compile(r'(?:W/)?"p(0|[1-9]\d{0,14})(?:@([0-9a-f.-]++))?"')
_ANY = ("*",)


def movie_tag(version: int) -> str:
    """Return the tag of a movie: its version, strong."""
    return f'"{version}"'


def list_tag(position: int, log: str) -> str:
    """Return the tag of a list: its position and log; weak, since some events do not change it."""
    return f'W/"p{position}@{log}"' if log else f'W/"p{position}"'


def summary_tag(digest: str) -> str:
    """Return the tag of a summary: a digest of it, weak like that of a list."""
    return f'W/"s{digest}"'


def expected_versions(request: CinelogRequest) -> Versions:
    """Return the versions of a movie that ``If-Match`` lists."""
    tags = _tags(request, _MATCH)
    if tags is None:
        return None
    return "any" if tags == _ANY else _versions(tags)


def excluded_versions(request: CinelogRequest) -> Versions:
    """Return the versions of a movie that ``If-None-Match`` lists; any where it is malformed."""
    tags = _tags(request, _NONE_MATCH)
    if tags is None:
        return None
    return "any" if tags in (_ANY, ()) else _versions(map(_opaque, tags))


def position_in_tag(request: CinelogRequest, log: str) -> int | None:
    """Return the latest position of a list of ``log`` that the client has."""
    tags = _tags(request, _NONE_MATCH)
    if tags is None or _MATCH in request.headers:
        return None
    matches = (match for tag in tags if (match := _LIST.fullmatch(tag)))
    return max((int(one[1]) for one in matches if (one[2] or "") == log), default=None)


def check_write(request: CinelogRequest, tag: str | None = None) -> None:
    """Raise PreconditionFailedError unless a resource whose tag is ``tag`` may be changed."""
    unmodified = _tags(request, _NONE_MATCH) == () or not _may_differ(request, tag)
    if not _may_match(request, tag) or unmodified:
        raise PreconditionFailedError(tag)


def check_read(request: CinelogRequest, tag: str | None) -> bool:
    """Return whether the client needs the answer, whose tag is ``tag``; else it gets 304.

    Raises PreconditionFailedError, of a movie VersionConflictError.
    """
    if not _may_match(request, tag):
        if tag is not None and (version := _VERSION.fullmatch(tag)):
            versions = _versions(_tags(request, _MATCH) or ())
            raise VersionConflictError(" or ".join(map(str, versions)) or "none", int(version[1]))
        raise PreconditionFailedError(tag)
    return _may_differ(request, tag)


def _may_match(request: CinelogRequest, tag: str | None) -> bool:
    tags = _tags(request, _MATCH)
    if tags is None or tags == _ANY:
        return True
    return tag is not None and not tag.startswith("W/") and tag in tags


def _may_differ(request: CinelogRequest, tag: str | None) -> bool:
    tags = _tags(request, _NONE_MATCH)
    if tags is None:
        return True
    return tags != _ANY and (tag is None or _opaque(tag) not in map(_opaque, tags))


def _versions(tags: Iterable[str]) -> tuple[int, ...]:
    return tuple(int(match[1]) for tag in tags if (match := _VERSION.fullmatch(tag)))


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")


def _tags(request: CinelogRequest, header: str) -> tuple[str, ...] | None:
    """Return the tags of a header, ``_ANY`` for ``*``, none if malformed, None if not sent."""
    lines = request.headers.getall(header, None)
    if lines is None:
        return None
    field = ",".join(lines)
    if field.strip(" \t") == "*":
        return _ANY
    return tuple(_TAGS.findall(field)) if _FIELD.fullmatch(field) else ()
