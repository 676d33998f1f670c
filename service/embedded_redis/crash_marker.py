"""How the last run of the embedded Redis ended, and what that asks for.

Its data goes to the kernel before it answers and to the disk a little later. So the death of any
process loses nothing, and a power cut loses the last of it, which must not bring a revoked refresh
token back: after an unclean end under another boot of the machine the sessions have to go.
"""

from pathlib import Path

from service.data_dir import REDIS_DATA, REDIS_END
from service.durable_file import replacing

DAMAGED = f"{REDIS_DATA}.damaged"
UNKNOWN = "unknown"


def power_was_cut() -> bool:
    """Return whether the last end may have lost what was answered; yes in doubt."""
    try:
        boot, end = Path(REDIS_END).read_text(encoding="ascii").split()
    except FileNotFoundError:
        return Path(REDIS_DATA).exists()
    except ValueError:
        return True
    return end != "clean" and (boot == UNKNOWN or boot != boot_id())


def boot_id() -> str:
    """Return what names the current boot of the machine, ``unknown`` where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return UNKNOWN


def mark_clean_shutdown(*, clean: bool) -> None:
    """Write down what to think of this run if it ended now; it is on disk when this returns."""
    with replacing(Path(REDIS_END)) as mark:
        mark.write(f"{boot_id()} {'clean' if clean else 'open'}\n".encode())


def set_data_aside() -> None:
    """Keep data that cannot be read under another name: the log makes the read model anew."""
    damaged = Path(DAMAGED)
    if damaged.exists():
        for old in damaged.iterdir():
            old.unlink()
        damaged.rmdir()
    Path(REDIS_DATA).rename(damaged)
