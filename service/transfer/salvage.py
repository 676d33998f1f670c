"""Export of what can be read of a damaged event store, with a list of what cannot.

The file is that of ``export --events`` and can be imported: lost positions are gaps in it, and the
events after the first gap begin a new epoch. An event with whole columns but undecodable fields is
kept as it is and listed. The read model parks a movie that lacks an event.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from commands.errors import ConfigurationError, StoreDamagedError
from commands.event_store.event_codec import RawEvent, decoding_problem
from commands.event_store.log.log_identity import LogIdentity
from commands.event_store.salvage import LostEvents, OnProgress, Salvage
from commands.event_store.store import Store
from service.durable_file import replacing
from service.known_log import KnownLogStore
from service.settings import Settings
from service.transfer.event_file import EventWriter, is_gzip

_MAX_VERSION = 2**63 - 1


class Salvaged(NamedTuple):
    """What was written, and what is lost or undecodable."""

    events: int
    position: int
    lost: list[LostEvents]
    undecoded: list[int]
    """Positions of events that were written but cannot be decoded."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return self._asdict() | {"lost": [one._asdict() for one in self.lost]}


def salvage(settings: Settings, store: Store | None, path: Path, advance: OnProgress) -> Salvaged:
    """Write what can be read; ``store`` is None if its database cannot be opened.

    Raises OSError, and ConfigurationError if no event can be read.
    """
    known = _remembered(settings, store)
    reader = Salvage(store, sqlite_file(settings), advance)
    end, lost, undecoded = 0, [], []
    for part in _whole_events(reader):
        if isinstance(part, LostEvents):
            lost.append(part)
        else:
            end = part[-1].position
            undecoded += [e.position for e in part if store and decoding_problem(e)]
    if not end:
        raise ConfigurationError("CINELOG_EVENT_STORE_URL", "none of its events can be read")
    if known and known[1] > end:
        lost.append(LostEvents(end + 1, known[1]))
    lineage = _lineage(known[0] if known else None, lost)
    with replacing(path) as file:
        writer = EventWriter(file, compressed=is_gzip(path), lineage=lineage)
        for part in _whole_events(reader):
            if not isinstance(part, LostEvents):
                writer.add(part)
        summary = writer.finish()
    return Salvaged(summary.events, summary.position, _merged(lost), undecoded)


def sqlite_file(settings: Settings) -> Path | None:
    """Return the file of a SQLite store, None for another database."""
    kind, _, path = settings.event_store_url.partition(":///")
    return Path(path) if kind == "sqlite" else None


def _remembered(settings: Settings, store: Store | None) -> tuple[LogIdentity, int] | None:
    """Return the identity of the log and the last position it is known to have had."""
    found: list[tuple[LogIdentity, int]] = []
    with suppress(ConfigurationError):
        found += [(one.identity, one.position) for one in KnownLogStore(settings).read()]
    with suppress(StoreDamagedError):
        if store and (identity := store.read_identity()):
            end = max((end for log, end in found if log.log == identity.log), default=0)
            return identity, end
    return max(found, key=lambda one: one[1], default=None)


def _whole_events(reader: Salvage) -> Iterator[list[RawEvent] | LostEvents]:
    """Yield what was rescued; an event with an invalid column counts as lost."""
    for part in reader.parts():
        if isinstance(part, LostEvents) or all(map(_is_whole, part)):
            yield part
            continue
        for event in part:
            whole = _is_whole(event)
            yield [event] if whole else LostEvents(event.position, event.position)


def _is_whole(event: RawEvent) -> bool:
    position, stream, version, topic, state = event
    return (
        len(stream) == 36  # noqa: PLR2004 - a UUID as text
        and set(stream) <= set("0123456789abcdef-")
        and type(version) is int
        and 0 < version <= _MAX_VERSION
        and type(topic) is str
        and "\0" not in topic
        and type(state) is bytes
        and position > 0
    )


def _merged(lost: list[LostEvents]) -> list[LostEvents]:
    merged: list[LostEvents] = []
    for one in lost:
        if merged and merged[-1].last + 1 == one.first:
            merged[-1] = LostEvents(merged[-1].first, one.last)
        else:
            merged.append(one)
    return merged


def _lineage(identity: LogIdentity | None, lost: list[LostEvents]) -> LogIdentity | None:
    if identity is None or not lost:
        return identity
    return identity.next_epoch(lost[0].first - 1, identity.epoch)
