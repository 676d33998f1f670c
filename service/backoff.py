"""Growing pauses before a process that ended is started again."""

from service.observability.logs import warn

FIRST_S, LONGEST_S, CALM_S, SERVED_S, TRIES = 0.1, 5.0, 30.0, 1.0, 10


class GiveUpError(Exception):
    """A process that is needed cannot run, for the reason given."""


class Backoff:
    """Pauses that double from 0.1 s up to 5 s; after 10 short lives in a row it gives up.

    A life is long if it lasts 30 s or serves for 1 s: a process that is often killed from outside
    can work, and is started again at once.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.short_lives = 0

    def after(self, reason: str, lived_s: float, served_s: float = 0.0) -> float:
        """Log why the process ended and return the seconds to wait. Raises GiveUpError."""
        long = lived_s >= CALM_S or served_s >= SERVED_S
        self.short_lives = 1 if long else self.short_lives + 1
        if self.short_lives >= TRIES:
            raise GiveUpError(f"{self.name} ended {self.short_lives} times in a row ({reason})")
        pause_s = float(min(FIRST_S * 2 ** (self.short_lives - 1), LONGEST_S))
        warn(f"{self.name} ended ({reason}); started again in {pause_s:.1f} s")
        return pause_s
