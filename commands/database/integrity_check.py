"""Integrity: whether a database holds what was written to it."""

from typing import Any

from commands.database.damage import NOT_A_DATABASE, Damage
from commands.database.database_errors import translating_db_errors
from commands.errors import StoreDamagedError

QUICK_CHECK_S = 1.0


class Integrity:
    """Checks the database of a store and records its damage. Safe to share between threads."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self.damage: Damage = recorder.damage
        """The known damage."""
        self.is_cheap: bool = recorder.cheap_to_check
        """Whether the whole database may be checked often."""

    def quick_check(self) -> str | None:
        """Check the database for about a second and return the known damage.

        A store that is known to be damaged is checked completely, and cleared if it is intact.
        """
        with translating_db_errors(damage=self.damage):
            if self.damage.reason:
                if not self._recorder.check_pages():
                    self.damage.clear()
            else:
                reason = self._recorder.quick_check(QUICK_CHECK_S)
                if reason and reason != NOT_A_DATABASE:
                    self.damage.report(reason)
        return self.damage.reason

    def check_pages(self) -> list[str]:
        """Check the whole database and return its problems, one line for each."""
        with translating_db_errors(damage=self.damage):
            problems: list[str] = self._recorder.check_pages()
        if problems:
            self.damage.report(problems[0])
        return problems

    def check_complete(self, until: int) -> None:
        """Raise StoreDamagedError unless all events up to a position can be read in log order."""
        indexed, read = self._count(until)
        if indexed != read:
            raise self._missing(read, indexed)

    def check_count(self, until: int, read: int) -> None:
        """Raise StoreDamagedError unless there are ``read`` events up to a position."""
        if wrong := [count for count in self._count(until) if count != read]:
            raise self._missing(read, max(wrong))

    def count(self, until: int) -> int:
        """Return the number of events up to a position: the greater of both counts."""
        return max(self._count(until))

    def _count(self, until: int) -> tuple[int, int]:
        with translating_db_errors(damage=self.damage):
            indexed, read = self._recorder.count_both(until)
        return indexed, read

    def _missing(self, read: int, counted: int) -> StoreDamagedError:
        reason = f"of {counted:,} events {read:,} can be read"
        self.damage.report(reason)
        return StoreDamagedError(reason)
