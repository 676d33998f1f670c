"""Conditional requests (RFC 9110 §13): entity tags, and the preconditions of requests.

1. Preconditions count on every method. A read is checked when its answer is there, whatever the
   route (``service/middleware.py``); a write to a movie by the command's handler, against the
   version that it is about to change. Only a stream has no state that a tag could name.
2. ``If-Match`` comes first and compares strongly, ``If-None-Match`` second and weakly. Tags are
   opaque text: ``"004"`` is not ``"4"``.
3. A header that is not to the grammar lists no tag: it lets no write pass, and spares no transfer.
4. No answer has ``Last-Modified``, so preconditions on a date are ignored, as §13.1.3 has it.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from commands.errors import PreconditionFailedError, VersionConflictError
from commands.movie import Versions
from service.web.request import CinelogRequest

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*+"'
_ITEM = re.compile(rf"[ \t]*+({_TAG})?[ \t]*+(?:,|\Z)")
_VERSION = re.compile(r'"(0|[1-9]\d{0,14})"')
_LIST = re.compile(r'(?:W/)?"p(0|[1-9]\d{0,14})(?:@([0-9a-f.-]++))?"')
CONDITIONS = _MATCH, _NONE_MATCH = "if-match", "if-none-match"


class _Tags(NamedTuple):
    """What a header lists: ``*``, or tags. Neither, where it is not to the grammar."""

    any: bool = False
    listed: tuple[str, ...] = ()

    @property
    def malformed(self) -> bool:
        return not self.any and not self.listed


def movie_tag(version: int) -> str:
    """Return the tag of a movie: its version, strong."""
    return f'"{version}"'


def list_tag(position: int, log: str) -> str:
    """Return the tag of a list: the position it shows and the log that has it.

    Weak, since not every event changes it.
    """
    return f'W/"p{position}@{log}"' if log else f'W/"p{position}"'


def expected_versions(request: CinelogRequest) -> Versions:
    """Return the versions of a movie that ``If-Match`` lists."""
    tags = _tags(request, _MATCH)
    if tags is None or tags.any:
        return tags and "any"
    return _versions(tags.listed)


def excluded_versions(request: CinelogRequest) -> Versions:
    """Return the versions of a movie that ``If-None-Match`` lists."""
    tags = _tags(request, _NONE_MATCH)
    if tags is None:
        return None
    if tags.any or tags.malformed:
        return "any"
    return _versions(map(_opaque, tags.listed))


def position_in_tag(request: CinelogRequest, log: str) -> int | None:
    """Return the latest position of a list of a log that the client has, for a shorter way to 304.

    Tags of another log or epoch match nothing.
    """
    tags = _tags(request, _NONE_MATCH)
    if tags is None or _MATCH in request.headers:
        return None
    found = (match for tag in tags.listed if (match := _LIST.fullmatch(tag)))
    return max((int(one[1]) for one in found if (one[2] or "") == log), default=None)


def check_write(request: CinelogRequest, tag: str | None = None) -> None:
    """Raise PreconditionFailedError unless what has ``tag`` now may be changed."""
    if not _may_match(request, tag) or not _may_differ(request, tag, reading=False):
        raise PreconditionFailedError(tag)


def check_read(request: CinelogRequest, tag: str | None) -> bool:
    """Return whether an answer, whose tag is ``tag``, is news to the client; else it is 304.

    Raises PreconditionFailedError, of a movie VersionConflictError.
    """
    if not _may_match(request, tag):
        if tag is not None and (version := _VERSION.fullmatch(tag)):
            tags = _tags(request, _MATCH) or _Tags()
            expected = " or ".join(map(str, _versions(tags.listed))) or "none"
            raise VersionConflictError(expected, int(version[1]))
        raise PreconditionFailedError(tag)
    return _may_differ(request, tag, reading=True)


def _may_match(request: CinelogRequest, tag: str | None) -> bool:
    tags = _tags(request, _MATCH)
    if tags is None or tags.any:
        return True
    return tag is not None and not tag.startswith("W/") and tag in tags.listed


def _may_differ(request: CinelogRequest, tag: str | None, *, reading: bool) -> bool:
    tags = _tags(request, _NONE_MATCH)
    if tags is None:
        return True
    if tags.any:
        return False
    if tags.malformed:
        return reading
    return tag is None or _opaque(tag) not in map(_opaque, tags.listed)


def _versions(tags: Iterable[str]) -> tuple[int, ...]:
    return tuple(int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag)))


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")


def _tags(request: CinelogRequest, header: str) -> _Tags | None:
    """Return what a header lists, on however many lines; None where it is not sent."""
    given = request.headers.getall(header, None)
    if given is None:
        return None
    text = ",".join(given).strip(" \t")
    if text == "*":
        return _Tags(any=True)
    listed: list[str] = []
    place = 0
    while place < len(text):
        item = _ITEM.match(text, place)
        if item is None:
            return _Tags()
        listed += filter(None, item.groups())
        place = item.end()
    return _Tags(listed=tuple(listed))
