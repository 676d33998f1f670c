"""Texts of a damaged SQLite file that are not UTF-8."""


class NoText(str):
    """A stored text that is not UTF-8, with its wrong bytes escaped."""

    __slots__ = ()


def escaped(text: bytes) -> str:
    """Return a stored text, as ``NoText`` if it is not UTF-8."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return NoText(text.decode(errors="backslashreplace"))
