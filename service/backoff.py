"""Growing pauses before something that died is started again."""

FIRST_S, LONGEST_S, CALM_S, SERVED_S, TRIES = 0.1, 5.0, 30.0, 1.0, 10


class Backoff:
    """From 0.1 s the pause doubles up to 5 s.

    A life of 30 s makes it begin anew, or a second of work: what was killed from outside, however
    often, can work and is started at once.
    """

    def __init__(self) -> None:
        self.deaths = 0

    def after(self, lived_s: float, served_s: float = 0.0) -> float | None:
        """Return the seconds to wait after such a life, nothing after 10 short ones in a row.

        ``served_s`` is the part of it since the process was ready.
        """
        calm = lived_s >= CALM_S or served_s >= SERVED_S
        self.deaths = 1 if calm else self.deaths + 1
        if self.deaths >= TRIES:
            return None
        return float(min(FIRST_S * 2 ** (self.deaths - 1), LONGEST_S))
