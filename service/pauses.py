"""Growing pauses before something that died is started again."""

FIRST_S, LONGEST_S, CALM_S, TRIES = 0.1, 5.0, 30.0, 10


class Pauses:
    """From 0.1 s the pause doubles up to 5 s; a life of 30 s makes it begin anew."""

    def __init__(self) -> None:
        self.deaths = 0

    def after(self, lived_s: float) -> float | None:
        """Return the seconds to wait after such a life, nothing after 10 short ones in a row."""
        self.deaths = 1 if lived_s >= CALM_S else self.deaths + 1
        if self.deaths >= TRIES:
            return None
        return float(min(FIRST_S * 2 ** (self.deaths - 1), LONGEST_S))
