/** Files that are imported and exported. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { csvLine, EXPORTED, guarded, readCsv, unguarded } from "./data/csv.js";
import { FORMATS, MAX_ROWS, nextQuery, readAll } from "./data/export.js";
import { FileError, readMovies } from "./data/movie_file.js";

const bytes = (text) => new TextEncoder().encode(text);
const movies = (text) => readMovies(bytes(text));
const film = (title) => ({ title, genre: "Drama", year: "2001" });

test("quotes, delimiters in them, doubled quotes and line ends", () => {
  const text = 'title,genre,year\r\n"A ""b"", c",Drama,2001\r\n"two\r\nlines",Drama,2001\r\n\r\nlast,Drama,2001';
  assert.deepEqual(movies(text), [
    { line: 2, fields: film('A "b", c') },
    { line: 3, fields: film("two\nlines") },
    { line: 6, fields: film("last") },
  ]);
});

test("comma, semicolon, tab, sep= and a byte order mark; columns in any order", () => {
  for (const mark of [",", ";", "\t"]) {
    const row = (...cells) => `${cells.join(mark)}\n`;
    const text = `\ufeff${row("Year", '"extra, and"', " TITLE", "genre")}${row("2001", "x", "Alien", "Drama")}`;
    assert.deepEqual(movies(text), [{ line: 2, fields: film("Alien") }], mark);
  }
  assert.deepEqual(movies("sep=|\ntitle|genre|year\nAlien|Drama|2001\n"), [
    { line: 3, fields: film("Alien") },
  ]);
});

test("a row that is not CSV spoils itself only", () => {
  const rows = movies('title,genre,year\n"open,Drama,2001\nAlien,Drama,2001\n"x"y,Drama,2001\na,b,1,c\nb,Drama,2001');
  assert.deepEqual(
    rows.map(({ line, error }) => [line, error]),
    [
      [2, "text follows a closing quote"],
      [3, undefined],
      [4, "text follows a closing quote"],
      [5, "4 fields where the header has 3"],
      [6, undefined],
    ],
  );
});

test("a quote that is open for more than 100 lines spoils its own line only", () => {
  const rows = movies(`title,genre,year\n"open,Drama,2001\n${"Alien,Drama,2001\n".repeat(150)}"x",Drama,2001\n`);
  assert.equal(rows.length, 152);
  assert.deepEqual(rows.filter(({ error }) => error).map(({ line }) => line), [2]);
});

test("files that are no movies are refused as a whole", () => {
  assert.throws(() => movies("name,year\nx,1\n"), /lacks title, genre/);
  assert.throws(() => movies(" \n"), /empty/);
  assert.throws(() => movies("[1,"), FileError);
  assert.throws(() => readMovies(Uint8Array.of(0xe4, 0x2c)), /UTF-8/);
});

test("JSON Lines and an array: values keep their type, other fields are left out", () => {
  const alien = { title: "Alien", genre: "Horror", year: 1979 };
  const line = JSON.stringify({ id: "x", ...alien });
  assert.deepEqual(movies(`${line}\n\n[1]\n{"title": \n{"title": "x"}\n`), [
    { line: 1, fields: alien },
    { line: 3, error: "not an object" },
    { line: 4, error: "not valid JSON" },
    { line: 5, fields: { title: "x" } },
  ]);
  assert.deepEqual(movies(`[${line}, null]`), [
    { line: 1, fields: alien },
    { line: 2, error: "not an object" },
  ]);
});

test("cells that a spreadsheet would run are guarded, and read back as they were", () => {
  for (const cell of ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "''+1", "＝1", "＋1", "－1", "＠1"]) {
    assert.equal(guarded(cell), `'${cell}`);
    assert.equal(unguarded(guarded(cell)), cell);
  }
  for (const cell of ["Alien", "'t Schaep", "", "2001"]) {
    assert.equal(guarded(cell), cell);
    assert.equal(unguarded(cell), cell);
  }
});

test("an export is read back as it was", () => {
  const titles = ["=cmd", 'a "b", c', "'=x", "two\nlines", "’"];
  const lines = titles.map((title) => FORMATS.csv.row({ ...film(title), id: "x", version: 1 }));
  assert.deepEqual(
    movies(FORMATS.csv.begin + lines.join("")).map(({ fields }) => fields.title),
    titles,
  );
  assert.equal(csvLine(EXPORTED), "id,title,genre,year,creator,version,created_at,updated_at\r\n");
  assert.deepEqual(readCsv("title\n'=x\n", ["title"]).rows[0].cells, ["'=x"], "not an export");
});

/** ``changes``: positions in the feed; the log grows by one position with each page. */
function listOf(count, { size = 100, changes = /** @type {number[]} */ ([]) } = {}) {
  const asked = [];
  let position = 0;
  const events = async (query) => {
    asked.push(query);
    const results = changes.filter((one) => one > query.after).map((one) => ({ position: one }));
    return { data: { results: results.slice(0, 1) }, headers: new Headers() };
  };
  const movies = async (query) => {
    asked.push(query);
    if (!query.at_position) position += 1;
    const from = Number(query.cursor || 0);
    const results = Array.from({ length: Math.min(size, count - from) }, (_, at) => ({ id: from + at }));
    const pinned = query.at_position ? `&at_position=${query.at_position}` : "";
    const next = `</api/v1/movies/?genre=a%26b&page_size=100${pinned}&cursor=${from + size}>; rel="next"`;
    const headers = new Headers({ "Event-Position": String(query.at_position || position) });
    if (from + size < count) headers.set("Link", next);
    return { data: { count, results }, headers };
  };
  return { asked, read: { movies, events } };
}

const row = ({ id }) => String(id);
const quiet = () => ({ signal: new AbortController().signal, onProgress: () => {} });

test("an export follows the cursor to the end, with the filters of the list", async () => {
  const { asked, read } = listOf(250);
  const told = [];
  const onProgress = (...numbers) => told.push(numbers);
  const found = await readAll({ genre: "a&b" }, { row }, read, { ...quiet(), onProgress });
  assert.deepEqual(found.rows, Array.from({ length: 250 }, (_, id) => String(id)));
  assert.equal(found.isWhole, true);
  assert.deepEqual(told, [[100, 250], [200, 250], [250, 250]]);
  assert.deepEqual(asked[0], { genre: "a&b", page_size: 100 });
  assert.deepEqual(asked[2], { genre: "a&b", page_size: "100", cursor: "200" });
});

test("an export is of one moment: what changed while it was read is noticed", async () => {
  const quietLog = listOf(250);
  await readAll({}, { row }, quietLog.read, quiet());
  assert.deepEqual(quietLog.asked.at(-1), { after: 1, limit: 1 }, "the log went on, without movies");
  assert.equal(quietLog.asked.length, 4);

  const once = listOf(250, { changes: [2] });
  assert.equal((await readAll({}, { row }, once.read, quiet())).rows.length, 250);
  assert.equal(once.asked.length, 8, "a short list is read again");

  const busy = listOf(250, { changes: Array.from({ length: 50 }, (_, at) => at) });
  assert.equal((await readAll({}, { row }, busy.read, quiet())).rows.length, 250);
  assert.deepEqual(busy.asked.at(-3), { at_position: 9, page_size: 100 });
  assert.equal(busy.asked.at(-1).at_position, "9");

  const long = listOf(2_050, { changes: [5] });
  await readAll({}, { row }, long.read, quiet());
  assert.equal(long.asked.filter((query) => query.at_position).length, 21);
});

test("an export ends at its bound, and says so", async () => {
  const { read } = listOf(MAX_ROWS + 1);
  const found = await readAll({}, { row }, read, quiet());
  assert.equal(found.rows.length, MAX_ROWS);
  assert.equal(found.isWhole, false);
});

test("an absolute link names the next page too", () => {
  const headers = new Headers({ Link: '<https://films.example/api/v1/movies/?cursor=x>; rel="next"' });
  assert.deepEqual(nextQuery(headers), { cursor: "x" });
  assert.equal(nextQuery(new Headers()), null);
});
