"""Every error of a request at once."""

from types import TracebackType

from commands.errors import InvalidError, RefusedError


class ErrorCollector:
    """What reading a request refuses: each ``with`` reads a part of it, ``check`` refuses all.

        refusals = ErrorCollector()
        with refusals:
            at = asked_time(request)
        with refusals:
            query = parse_query(request.args)
        refusals.check()

    Errors of fields come before what is refused for another reason, such as a page that is none.
    """

    def __init__(self) -> None:
        self._errors: dict[str, list[str]] = {}
        self._other: RefusedError | None = None

    def __enter__(self) -> None:
        """Begin a part."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Keep what the part was refused with; anything else is raised."""
        if not isinstance(error, RefusedError):
            return False
        self.add(error)
        return True

    def add(self, error: RefusedError) -> None:
        """Keep one more."""
        if isinstance(error, InvalidError) and error.errors:
            for field, messages in error.errors.items():
                self._errors.setdefault(field, []).extend(messages)
        else:
            self._other = self._other or error

    @property
    def found(self) -> RefusedError | None:
        """All that was refused, None where nothing was."""
        return InvalidError(self._errors) if self._errors else self._other

    def check(self) -> None:
        """Raise what was found."""
        if found := self.found:
            raise found
