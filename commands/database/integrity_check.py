"""Integrity: whether a database holds what was written to it; what is found is remembered."""

from typing import Any

from commands.database.damage import NOT_A_DATABASE, Damage
from commands.database.database_errors import translating_db_errors
from commands.errors import StoreDamagedError

QUICK_CHECK_S = 1.0
"""For how long a quick look goes on at most."""


class Integrity:
    """Looks at the database of a store. Safe to share between threads."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self.damage: Damage = recorder.damage
        """What is known so far."""
        self.is_cheap: bool = recorder.cheap_to_check
        """Whether all of the database may be checked again and again."""

    def quick_check(self) -> str | None:
        """Find out in about a second whether the database is damaged; return what is known then.

        Where it is known to be, all of it is checked, and that is forgotten if it is whole by now.
        """
        with translating_db_errors(damage=self.damage):
            if self.damage.reason:
                if not self._recorder.check_pages():
                    self.damage.clear()
            elif (reason := self._recorder.quick_check(QUICK_CHECK_S)) and reason != NOT_A_DATABASE:
                self.damage.report(reason)
        return self.damage.reason

    def check_pages(self) -> list[str]:
        """Check all of the database and return what is wrong with it, a line for each."""
        with translating_db_errors(damage=self.damage):
            wrong: list[str] = self._recorder.check_pages()
        if wrong:
            self.damage.report(wrong[0])
        return wrong

    def check_complete(self, until: int) -> None:
        """Raise StoreDamagedError unless all events up to a position can be read in log order."""
        indexed, read = self._count(until)
        if indexed != read:
            raise self._missing(read, indexed)

    def check_count(self, until: int, read: int) -> None:
        """Raise StoreDamagedError unless ``read`` is how many events there are up to a position."""
        if wrong := [count for count in self._count(until) if count != read]:
            raise self._missing(read, max(wrong))

    def count(self, until: int) -> int:
        """Return how many events there are up to a position, by the count that has more."""
        return max(self._count(until))

    def _count(self, until: int) -> tuple[int, int]:
        with translating_db_errors(damage=self.damage):
            indexed, read = self._recorder.count_both(until)
        return indexed, read

    def _missing(self, read: int, counted: int) -> StoreDamagedError:
        reason = f"of {counted:,} events {read:,} can be read"
        self.damage.report(reason)
        return StoreDamagedError(reason)
