"""Reading the rows of an import: each row is yielded once; an invalid one affects no other."""

import codecs
import csv
import gzip
import io
import itertools
import json
import os
import threading
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.transfer.csv_rows import guarded, is_exported, unguarded
from service.transfer.file_kinds import UnreadableInputError
from service.transfer.row_reader import read_rows, rows_of
from service.transfer.source import RowSource

HEAD = "title,genre,year\n"


class Chunks:
    """A source that yields text in pieces of the size given."""

    encoding = "UTF-8"

    def __init__(self, text, size=7):
        self._pieces = [text[at : at + size] for at in range(0, len(text), size)]

    def text(self):
        return iter(self._pieces)


def read(content, size=7):
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return list(rows_of(Chunks(content, size)))


def titles_or_errors(content):
    """Return the line and title or error of each row, which chunk sizes do not change."""
    found = read(content)
    assert found == read(content, 1) == read(content, 1 << 16)
    return [
        (row.line, row.fields if isinstance(row.fields, str) else row.fields["title"])
        for row in found
    ]


def rows_in_file(tmp_path, content):
    file = tmp_path / "movies"
    file.write_bytes(content)
    return [row.fields for row in read_rows(file)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('"Open,Drama,1994\nA,B,1\nC,D,2\n', [(2, "a quote is not closed"), (3, "A"), (4, "C")]),
        (
            '"Open,Drama,1994\nA,B,1\n"C, D",E,2\n',
            [(2, "a quote is not closed"), (3, "A"), (4, "C, D")],
        ),
        (
            'A,"Open,1994\nB,"",1\nC,D,2\n"E",F,3\n',
            [(2, "a quote is not closed"), (3, "B"), (4, "C"), (5, "E")],
        ),
        ('"A\nB",C,1\nD,E,2', [(2, "A\nB"), (4, "D")]),
        (
            '"A\nB"x,C,1\nD,E,2',
            [
                (2, "a quote is not closed"),
                (3, "a quote here may close one opened on an earlier line"),
                (4, "D"),
            ],
        ),
        ('"A\nB",C,1,2\nD,E,2', [(2, "4 fields where the header has 3"), (4, "D")]),
        ('"A"x,B,1\nC,D,2', [(2, "not CSV: ',' expected after '\"'"), (3, "C")]),
        ('A "B" C,D,1\n12" D,E,2\n', [(2, 'A "B" C'), (3, '12" D')]),
        ('"Open at the end', [(2, "a quote is not closed")]),
        ("A,B,1\r\nC,D,2\rE,F,3", [(2, "A"), (3, "C"), (4, "E")]),
        ("A,B,1\n,,\n \t , ,\n\n\nC,D,2\n\n", [(2, "A"), (7, "C")]),
        ("A,B,1,\nC,D,2\n", [(2, "4 fields where the header has 3"), (3, "C")]),
        ("\0,B,1\nC,D,2\n", [(2, "\0"), (3, "C")]),
        ("\ud800,B,1\nC,D,2\n", [(2, "not UTF-8"), (3, "C")]),
        ("", []),
    ],
)
def test_invalid_row_affects_no_other(rows, expected):
    assert titles_or_errors(HEAD + rows) == expected


def test_unclosed_quote_affects_one_row_of_thousands():
    """Regression: such a file once lost four thousand rows silently."""
    rows = [f"M{n},Drama,{n % 90 + 1900}" for n in range(20_000)]
    for at in range(500, 20_000, 700):
        rows[at] = f'"Quoted, {at}",Drama,1990'
    rows[16_027] = '"Open,Drama,1994'
    found = read(HEAD + "\n".join(rows), 1 << 16)
    assert len(found) == 20_000
    assert [row.line for row in found if isinstance(row.fields, str)] == [16_029]


def test_endless_lines_are_bounded(tmp_path):
    long = b"x" * (3 << 20)
    found = rows_in_file(
        tmp_path, HEAD.encode() + b"A,B,1\n" + long + b",B,1\n" + long + b"\nC,D,2\n"
    )
    assert [f if isinstance(f, str) else f["title"] for f in found] == [
        "A",
        "longer than 1 MiB",
        "longer than 1 MiB",
        "C",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"title":"A"},{"title":"B"}]', ["A", "B"]),
        ('[\n  {\n    "title": "A"\n  },\n  {"title": "B,]}{"}\n]\n', ["A", "B,]}{"]),
        ('[{"title":"A"} {"title":"B"},]', ["A", "B"]),
        ("[]", []),
        (
            '[1,{"title":"A"},null,"x",["y"]]',
            ["not a JSON object", "A", *["not a JSON object"] * 3],
        ),
        ('[{"title":A},{"title":"B"}]', ["not JSON", "B"]),
        ('[{"title":"A},\n{"title":"B"}]', ["not JSON", "B"]),
        ('[{"title":"Open, "genre":"x"},{"title":"B"},{"title":"C"}]', ["not JSON", "B", "C"]),
        ('[{"title":"A"x},{"title":"B"}]', ["not JSON", "B"]),
        ('[{"title":"A",\n{"title":"B"}]', ["not JSON", "B"]),
        ('[{"title":"A",{"title":"B"}]', ["not JSON", "B"]),
        ('[{"title":"\\ud800"},{"title":"\\"B\\\\"}]', ["not JSON", '"B\\']),
        ('[{"title":"A","a":{"b":[{},{"c":[]}]}},{"title":"B"}]', ["A", "B"]),
        ('[{"title":"A","title":"B"},{"title":"C"}]', ["title occurs twice", "C"]),
        ('{\n "title": "A"\n}\n{\n "title": "B"\n}\n', ["A", "B"]),
        (
            '{"title":"A"}\n\n[1]\n{"title"\n{"title":"B"}',
            ["A", "not a JSON object", "not JSON", "B"],
        ),
        ('[1]\n{"title":"B"}', ["not a JSON object", "B"]),
        ('{"title":\n{"title":"B"}', ["not JSON", "B"]),
    ],
)
def test_json_rows_are_read(text, expected):
    assert [message for _, message in titles_or_errors(text)] == expected


def test_json_row_that_is_not_utf8_is_refused():
    found = read(b'[{"title":"\xff"},{"title":"A"}]')
    assert [row.fields for row in found] == ["not UTF-8", {"title": "A"}]
    assert [row.fields for row in read(b'{"title":"\xff"}\n')] == ["not UTF-8"]


@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [
        ('[{"title":"A"},{"title":"B"}', 2, "has no end"),
        ('[{"title":"A"},{"tit', 2, "has no end"),
        ('[{"title":"A"}] {"title":"B"}', 1, "something follows"),
        ("[", 0, "has no end"),
    ],
)
def test_incomplete_json_array_is_refused(text, rows, message):
    found = rows_of(Chunks(text.encode()))
    assert len(list(itertools.islice(found, rows))) == rows
    with pytest.raises(UnreadableInputError, match=message):
        next(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"title"x,genre,year\nA,B,1\n', "the header is not CSV"),
        ("title,genre,year,Title\nA,B,1,C\n", "the column title more than once"),
        ("name;genre\nA;B\n", "the header lacks title, year"),
        ("title|genre|year\nA|B|1\n", "not with |"),
        ("x" * (2 << 20), "the header is longer than 1 MiB"),
        (" " * (2 << 20), "nothing but white space"),
    ],
)
def test_invalid_header_is_refused(text, message):
    with pytest.raises(UnreadableInputError) as refused:
        read(text, 1 << 16)
    assert message in refused.value.reason
    assert refused.value.line == 1


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_detected(tmp_path, mark, delimiter, end):
    text = f'Year,"title",GENRE,,\n1990,"A{delimiter}B",C,,\n'.replace(",", delimiter)
    found = rows_in_file(tmp_path, mark + text.replace("\n", end).encode())
    assert [row["title"] for row in found] == [f"A{delimiter}B"]


def test_sep_line_sets_the_delimiter():
    assert titles_or_errors("sep=|\ntitle|genre|year\nA|B|1\n") == [(3, "A")]


LINES = '{"title":"Ä"}\n{"title":"B"}\n'
ARRAY = '[{"title":"Ä"},{"title":"B"}]'
TABLE = HEAD + "Ä,G,1\nB,G,2\n"


@pytest.mark.parametrize("text", [LINES, ARRAY, TABLE])
@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda b: gzip.compress(b[:9]) + gzip.compress(b[9:])]
)
@pytest.mark.parametrize(
    "encode",
    [
        str.encode,
        lambda t: codecs.BOM_UTF8 + t.encode(),
        lambda t: t.encode("utf-16"),
        lambda t: codecs.BOM_UTF16_BE + t.encode("utf-16-be"),
    ],
)
def test_encodings_and_gzip_are_detected(tmp_path, text, pack, encode):
    assert [row["title"] for row in rows_in_file(tmp_path, pack(encode(text)))] == ["Ä", "B"]


def test_row_that_is_not_utf16_is_refused(tmp_path):
    half = f"{HEAD}A,B,1\n\ud800,D,2\nE,F,3\n".encode("utf-16", "surrogatepass")
    found = rows_in_file(tmp_path, half)
    assert [row if isinstance(row, str) else row["title"] for row in found] == [
        "A",
        "not UTF-16",
        "E",
    ]
    assert rows_in_file(tmp_path, f"{HEAD}A,B,1\nC,D,2".encode("utf-16")[:-1])[1] == "not UTF-16"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\x14\0\0\0", "a zip archive"),
        (b"PK\x03\x04\x14\0\0\0[Content_Types].xml", "Excel"),
        (b"PAR1\0\0", "Parquet"),
        (b"SQLite format 3\0...", "SQLite"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<?xml version='1.0'?>", "XML"),
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (TABLE.encode("utf-16-le"), "UTF-16LE without a byte order mark"),
        ((HEAD + "A,B,1\n").encode("utf-16-be"), "UTF-16BE without a byte order mark"),
        (TABLE.encode("utf-32"), "UTF-32"),
        ("titel,größe,year\n".encode("latin-1"), "not UTF-8"),
        (bytes(range(256)), "binary"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzip within gzip"),
        (gzip.compress(b"PAR1\0", mtime=0), "Parquet"),
        (b"x" * 257 + b"ustar\x0000", "tar"),
    ],
)
def test_format_of_unreadable_file_is_named(tmp_path, content, message):
    with pytest.raises(UnreadableInputError) as refused:
        rows_in_file(tmp_path, content)
    assert message in refused.value.reason


@pytest.mark.slow
def test_damaged_gzip_yields_rows_before_the_damage(tmp_path):
    """A truncated line is not yielded."""
    rows = "".join(f"M{os.urandom(9).hex()},Drama,1990\n" for _ in range(20_000))
    whole = gzip.compress((HEAD + rows).encode())
    changed = whole[:-8] + zlib.crc32(b"").to_bytes(4, "little") + whole[-4:]
    for damaged, complete in ((whole[: len(whole) // 2], False), (changed, True)):
        file = tmp_path / "movies.csv.gz"
        file.write_bytes(damaged)
        found = []
        with pytest.raises(UnreadableInputError, match="the gzip is damaged"):
            found.extend(read_rows(file))
        assert [row.fields["year"] for row in found] == ["1990"] * len(found)
        assert (len(found) >= 19_000) == complete
        assert len(found) > 5_000


@pytest.mark.slow
def test_gzip_bomb_uses_little_memory(tmp_path):
    compressor = zlib.compressobj(wbits=31)
    head = compressor.compress(HEAD.encode())
    packed = (
        head
        + b"".join(compressor.compress(bytes(1 << 20)) for _ in range(300))
        + compressor.flush()
    )
    file = tmp_path / "bomb.gz"
    file.write_bytes(packed)
    tracemalloc.start()
    with pytest.raises(UnreadableInputError, match="expands more than"):
        list(read_rows(file))
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_a_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = codecs.BOM_UTF8 + LINES.encode()
    writer = threading.Thread(target=lambda: pipe.write_bytes(content))
    writer.start()
    with RowSource.open(pipe) as source:
        assert source.size is None
        assert len(list(rows_of(source))) == 2
        assert source.bytes_read == len(content)
    writer.join()


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS)),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_written_csv_is_read(rows, delimiter, end):
    """Cells may contain any text; rows of blank cells are skipped."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("title", "genre", "year"), *rows])
    found = [tuple(row.fields.values()) for row in read(text.getvalue()) if row.fields]
    assert found == [row for row in rows if any(cell.strip() for cell in row)]


@given(st.binary(max_size=200))
def test_any_bytes_yield_rows(content):
    """Rows are in order and begin on different lines."""
    rows = read(HEAD.encode() + content)
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines))


@pytest.mark.slow
@given(
    st.lists(
        st.dictionaries(
            st.text(), st.text() | st.integers(-(2**53), 2**53) | st.lists(st.booleans())
        )
    ),
    st.booleans(),
)
def test_any_json_array_yields_rows(values, spread):
    text = json.dumps(values, indent=2 if spread else None)
    assert [row.fields for row in read(text)] == json.loads(text)


@given(st.text())
def test_guarded_cells_round_trip(cell):
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_exported_headers_are_recognized():
    exported = ["id", "title", "genre", "year", "creator", "version", "created_at", "updated_at"]
    assert is_exported(exported)
    assert not is_exported(exported[1:])
    assert not is_exported([*exported, "director"])
    assert not is_exported(["genre", "title", "year"])
    assert not is_exported(list(reversed(exported)))
