"""The crash marker: how the last run of the embedded Redis ended.

The server hands its data to the kernel before it replies; the kernel writes it to the disk a
little later. So the death of a process loses nothing, but a power cut loses the last writes, which
must not bring a revoked refresh token back: after an unclean shutdown in an earlier boot of the
machine, the sessions must end.
"""

import shutil
from pathlib import Path

from service.data_dir import REDIS_DATA, REDIS_END
from service.durable_file import replacing

UNKNOWN = "unknown"


def power_was_cut(data_dir: Path) -> bool:
    """Return whether the last shutdown may have lost replied writes; true when in doubt."""
    try:
        boot, end = (data_dir / REDIS_END).read_text(encoding="ascii").split()
    except FileNotFoundError:
        return (data_dir / REDIS_DATA).exists()
    except ValueError:
        return True
    return end != "clean" and (boot == UNKNOWN or boot != boot_id())


def boot_id() -> str:
    """Return the id of the current boot of the machine, ``unknown`` if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return UNKNOWN


def mark_shutdown(data_dir: Path, *, clean: bool) -> None:
    """Write the marker, durably: ``open`` before clients connect, ``clean`` when data is saved."""
    with replacing(data_dir / REDIS_END) as marker:
        marker.write(f"{boot_id()} {'clean' if clean else 'open'}\n".encode())


def set_data_aside(data_dir: Path) -> str:
    """Rename data that cannot be read, and return its name: the event log rebuilds the rest."""
    damaged = f"{REDIS_DATA}.damaged"
    shutil.rmtree(data_dir / damaged, ignore_errors=True)
    (data_dir / REDIS_DATA).rename(data_dir / damaged)
    return damaged
