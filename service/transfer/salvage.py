"""Taking out of a damaged event store what can be read of it, with a list of what cannot.

The file is one of ``export --events``, and ``import --events`` takes it: positions that are lost
are gaps in it, and what followed the first of them belongs to a new epoch. An event whose columns
are whole but whose fields cannot be decoded is kept as it is and listed. A movie that lacks an
event is parked where it is read, until an operator decides.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from commands.errors import ConfigurationError, StoreDamagedError
from commands.event_store.event_codec import RawEvent, decoding_problem
from commands.event_store.log_identity import LogIdentity
from commands.event_store.salvage import LostEvents, OnProgress, Salvage
from commands.event_store.store import Store
from service.known_log import KnownLogStore
from service.settings import Settings
from service.transfer.event_file import EventWriter
from service.transfer.export import whole_file

_MAX_VERSION = 2**63 - 1


class Salvaged(NamedTuple):
    """What was written, and what is wrong."""

    events: int
    position: int
    lost: list[LostEvents]
    undecoded: list[int]
    """Positions of events that were written, but cannot be decoded."""

    def facts(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return self._asdict() | {"lost": [one._asdict() for one in self.lost]}


def salvage(
    settings: Settings,
    store: Store | None,
    path: Path,
    advance: OnProgress,
) -> Salvaged:
    """Write what can be read; ``store`` is None where its database cannot be opened.

    Raises OSError, and ConfigurationError where nothing could be read at all.
    """
    known = _remembered(settings, store)
    rescue = Salvage(store, sqlite_file(settings), advance)
    end, lost, undecoded = 0, [], []
    for part in _whole_events(rescue):
        if isinstance(part, LostEvents):
            lost.append(part)
        else:
            end = part[-1].position
            undecoded += [e.position for e in part if store and decoding_problem(e)]
    if not end:
        raise ConfigurationError("CINELOG_EVENT_STORE_URL", "no event of it can be read")
    if known and known[1] > end:
        lost.append(LostEvents(end + 1, known[1]))
    lineage = _lineage(known[0] if known else None, lost)
    with whole_file(path) as out:
        writer = EventWriter(out, compressed=path.suffix.lower() == ".gz", lineage=lineage)
        for part in _whole_events(rescue):
            if not isinstance(part, LostEvents):
                writer.add(part)
        summary = writer.finish()
    return Salvaged(summary.events, summary.position, _joined(lost), undecoded)


def sqlite_file(settings: Settings) -> Path | None:
    """Return the file of a SQLite store, None for another kind."""
    kind, _, rest = settings.event_store_url.partition(":///")
    return Path(rest) if kind == "sqlite" else None


def _remembered(settings: Settings, store: Store | None) -> tuple[LogIdentity, int] | None:
    """Return which log this is, and the last position that is known to have been in it."""
    found: list[tuple[LogIdentity, int]] = []
    with suppress(ConfigurationError):
        found += [(one.identity, one.position) for one in KnownLogStore(settings).read()]
    with suppress(StoreDamagedError):
        if store and (identity := store.read_identity()):
            end = max((end for log, end in found if log.log == identity.log), default=0)
            return identity, end
    return max(found, key=lambda one: one[1], default=None)


def _whole_events(rescue: Salvage) -> Iterator[list[RawEvent] | LostEvents]:
    """Yield what was rescued, with a loss for each event whose columns are not whole."""
    for part in rescue.parts():
        if isinstance(part, LostEvents) or all(map(_is_whole, part)):
            yield part
            continue
        for event in part:
            whole = _is_whole(event)
            yield [event] if whole else LostEvents(event.position, event.position)


def _is_whole(event: RawEvent) -> bool:
    position, stream, version, topic, state = event
    return (
        len(stream) == 36  # noqa: PLR2004 - as any UUID
        and set(stream) <= set("0123456789abcdef-")
        and type(version) is int
        and 0 < version <= _MAX_VERSION
        and type(topic) is str
        and "\0" not in topic
        and type(state) is bytes
        and position > 0
    )


def _joined(lost: list[LostEvents]) -> list[LostEvents]:
    joined: list[LostEvents] = []
    for one in lost:
        if joined and joined[-1].last + 1 == one.first:
            joined[-1] = LostEvents(joined[-1].first, one.last)
        else:
            joined.append(one)
    return joined


def _lineage(identity: LogIdentity | None, lost: list[LostEvents]) -> LogIdentity | None:
    if identity is None or not lost:
        return identity
    return identity.next_epoch(lost[0].first - 1, identity.epoch)
