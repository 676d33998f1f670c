"""A small file system of its own for each part, which a test can fill."""

import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

SIZE_MIB = 256


class Disk:
    """A folder; with ``own`` a file system of ``SIZE_MIB`` in memory, which needs the superuser."""

    def __init__(self, folder: Path, *, own: bool) -> None:
        self.folder, self.own = folder, own
        folder.mkdir(parents=True)
        if own:
            options = f"size={SIZE_MIB}m"
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
                check=True,
                capture_output=True,
            )

    def fill(self) -> None:
        """Use up all space."""
        with (self.folder / "filler").open("ab", buffering=0) as file:
            for piece in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * piece)

    def free(self) -> None:
        """Give the space back."""
        (self.folder / "filler").unlink()

    def close(self) -> None:
        """Remove the file system."""
        if self.own:
            subprocess.run(["umount", "--lazy", self.folder], check=True)


def may_mount() -> bool:
    """Return whether this user may make file systems."""
    with TemporaryDirectory() as folder:
        try:
            Disk(Path(folder) / "disk", own=True).close()
        except (OSError, subprocess.CalledProcessError):
            return False
        return True
