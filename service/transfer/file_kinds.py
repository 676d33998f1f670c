"""Detects by its first bytes what a file is; anything but text is refused with advice."""

import codecs

UNPACK = "unpack it and import the file inside"
_TAR_MAGIC_AT = 257
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_CONVERT = "save it as CSV or JSON Lines and import that"
_MAGIC = (
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"PK\x05\x06", "an empty zip archive", UNPACK),
    (b"BZh", "compressed with bzip2", UNPACK),
    (b"\xfd7zXZ\x00", "compressed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with lz4", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"PAR1", "a Parquet file", _CONVERT),
    (b"ARROW1", "an Arrow file", _CONVERT),
    (b"Obj\x01", "an Avro file", _CONVERT),
    (b"ORC", "an ORC file", _CONVERT),
    (b"SQLite format 3\x00", "an SQLite database", _CONVERT),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", _CONVERT),
    (b"%PDF", "a PDF file", _CONVERT),
    (b"\x89PNG", "a PNG image", _CONVERT),
    (b"\xff\xd8\xff", "a JPEG image", _CONVERT),
    (b"{\\rtf", "an RTF file", _CONVERT),
)


class UnreadableInputError(Exception):
    """The input cannot be read (from ``line`` on, unless None) for ``reason``."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def check_readable(head: bytes) -> None:
    """Raise UnreadableInputError, naming the kind of file, unless ``head`` begins a text.

    Only the first line must be UTF-8: a later line that is not is refused as a row.
    """
    _check_magic(head)
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return
    for at, encoding in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        # Latin letters in UTF-16: exactly every other byte is NUL.
        if len(head) > 3 and not any(head[at:64:2]) and all(head[1 - at : 64 : 2]):  # noqa: PLR2004
            raise UnreadableInputError(
                None,
                f"this is {encoding} without a byte order mark; convert it"
                f" (iconv -f {encoding} -t UTF-8)",
            )
    _check_first_line(head)


def _check_magic(head: bytes) -> None:
    for magic, what, advice in _MAGIC:
        if head.startswith(magic):
            if magic.startswith(b"PK"):
                raise UnreadableInputError(None, _zip_kind(head, f"this is {what}; {advice}"))
            raise UnreadableInputError(None, f"this is {what}; {advice}")
    if head[_TAR_MAGIC_AT:].startswith(b"ustar"):
        raise UnreadableInputError(None, f"this is a tar archive; {UNPACK}")
    if head.startswith(_UTF32):
        raise UnreadableInputError(None, "this is UTF-32; convert it to UTF-8 (iconv -t UTF-8)")
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:256].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise UnreadableInputError(None, f"this is an HTML page; {_CONVERT}")
    if start.startswith(b"<"):
        raise UnreadableInputError(None, f"this is XML or HTML; {_CONVERT}")


def _check_first_line(head: bytes) -> None:
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    first = text.partition(b"\n")[0].partition(b"\r")[0]
    if text.startswith((b"{", b"[")):
        return  # the first of several JSON Lines may be the invalid one
    if any(byte < ord(" ") and byte not in b"\t\f\v" for byte in first):
        raise UnreadableInputError(None, f"this is binary data, not text; {_CONVERT}")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(first, final=len(first) < len(text))
    except UnicodeDecodeError:
        raise UnreadableInputError(
            1,
            "the first line is not UTF-8; convert the file, if it is Windows-1252 or Latin-1 with"
            " iconv -f WINDOWS-1252 -t UTF-8",
        ) from None


def _zip_kind(head: bytes, otherwise: str) -> str:
    """Return the kind of a zip archive by the file names at its beginning."""
    if b"[Content_Types].xml" in head or b"xl/" in head:
        return f"this is an Excel workbook (xlsx) or another Office file; {_CONVERT}"
    if b"mimetypeapplication/vnd.oasis.opendocument" in head:
        return f"this is an OpenDocument file; {_CONVERT}"
    return otherwise
