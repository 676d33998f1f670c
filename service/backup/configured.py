"""Backups as the settings say."""

import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from redis.exceptions import RedisError

from commands.errors import CinelogError
from projections.redis_client import open_redis
from service.backup.backup import Made, Options
from service.backup.encryption import parse_recipients, read_identities
from service.backup.place import Place
from service.backup.segments import Reader
from service.last_backup import write_last_backup
from service.settings import Settings, parse_duration


def options_of(settings: Settings, recipients: str | None = None, *, full: bool = False) -> Options:
    """Return how to make a backup; ``recipients`` replace those of the settings.

    Raises ConfigurationError.
    """
    keys = settings.backup_recipient if recipients is None else recipients
    full_every = parse_duration(settings.backup_full_every)
    return Options(
        _folder(settings),
        parse_recipients(keys),
        full=full,
        full_every=full_every or timedelta.max,
        keep=parse_duration(settings.backup_keep),
    )


def reader_of(settings: Settings, place: Place, identity: Path | None) -> Reader:
    """Return what reads a place, with the private keys in a file. Raises ConfigurationError."""
    return Reader(place, read_identities(identity) if identity else [], _folder(settings))


def _folder(settings: Settings) -> Path:
    """Return where temporary files go: the data directory, which other users cannot read."""
    data_dir = settings.data_dir
    return data_dir if data_dir.is_dir() else Path(tempfile.gettempdir())


def record_success(settings: Settings, made: Made) -> None:
    """Record a backup made by a command, if Redis answers."""
    if settings.redis_url is None and not settings.embedded_socket.exists():
        return
    with suppress(RedisError, CinelogError):
        client = open_redis(settings.redis_url_or_embedded)
        try:
            write_last_backup(client, made.at, made.position)
        finally:
            client.close()
