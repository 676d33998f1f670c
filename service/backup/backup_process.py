"""The process of a scheduled backup: ``python -m service.backup.backup_process``.

It reads the settings, a line of JSON, from standard input. On standard output it writes an empty
line with each piece of progress, and its outcome, a line of JSON, at the end.
"""

import os
from contextlib import closing
from typing import Any

import orjson

from commands.errors import CinelogError
from commands.event_store.store import Store
from projections.rebuild.worker_process import run_worker
from service.backup.backup import Made, back_up
from service.backup.configured import options_of
from service.backup.place import open_place
from service.data_dir import STORE_DAMAGED
from service.known_log import check_served
from service.settings import Settings

# The service on the same machine comes first.
_NICENESS = 10


def _run(order: dict[str, Any]) -> int:
    outcome: dict[str, Any]
    try:
        outcome = {"made": _back_up(Settings.model_validate(order))._asdict()}
    except CinelogError as error:
        outcome = {"error": str(error)}
    os.write(1, orjson.dumps(outcome) + b"\n")
    return 0


def _back_up(settings: Settings) -> Made:
    with closing(Store.open(settings.event_store_url, create=False)) as store:
        store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
        check_served(settings, store)
        place = open_place(settings.backup_url)
        return back_up(store, place, options_of(settings), lambda _: os.write(1, b"\n"))


if __name__ == "__main__":
    run_worker(_run, niceness=_NICENESS)
