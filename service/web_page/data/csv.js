/**
 * CSV (RFC 4180) in both directions. A cell that a spreadsheet would run as a formula (CWE-1236) is
 * written with an apostrophe before it, as `cinelog export` does, because any account can choose a
 * title.
 */

/** The columns of an export: the fields of a movie, in the order of the API. */
export const EXPORTED = ["id", "title", "genre", "year", "creator", "version", "created_at", "updated_at"];
const DELIMITERS = [",", ";", "\t"];
/** Lines of one quoted cell; a quote that is open for longer spoils its own line only. */
const MAX_LINES = 100;
const BEGINS = "[=+\\-@\\t\\r\\n\\uff1d\\uff0b\\uff0d\\uff20]";
const FORMULA = new RegExp(`^'*${BEGINS}`);
const GUARDED = new RegExp(`^'+${BEGINS}`);

/** @typedef {{line: number, cells?: string[], error?: string}} Row ``line`` counts from 1 */

/**
 * The rows of a CSV that are not blank; an invalid row never affects another one.
 * @param {string} text
 * @param {string[]} known the columns that tell which delimiter is meant
 * @returns {{header: string[], rows: Row[]}}
 */
export function readCsv(text, known) {
  const lines = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
  const told = /^sep=(.)\n/.exec(lines); // written by Excel
  const marks = told ? [told[1]] : DELIMITERS;
  const body = { from: told ? told[0].length : 0, line: told ? 2 : 1 };
  const best = marks
    .map((mark) => ({ mark, first: rowsOf(lines, mark, body).next().value }))
    .map((tried) => ({ ...tried, header: namesIn(tried.first) }))
    .sort((one, other) => scoreOf(other.header, known) - scoreOf(one.header, known))[0];
  const rows = [...rowsOf(lines, best.mark, body)].slice(1);
  const isExport = best.header.join() === EXPORTED.join();
  for (const row of rows) {
    const { cells } = row;
    if (cells && cells.length > best.header.length) {
      delete row.cells;
      row.error = `${cells.length} fields where the header has ${best.header.length}`;
    } else if (cells && isExport) row.cells = cells.map(unguarded);
  }
  return { header: best.header, rows };
}

const namesIn = (row) => (row?.cells || []).map((cell) => cell.trim().toLowerCase());

const scoreOf = (header, known) => known.filter((name) => header.includes(name)).length;

/** @returns {Generator<Row, any>} */
function* rowsOf(text, mark, { from, line }) {
  const plain = new RegExp(`[^${mark === "\t" ? "\\t" : mark.replace(/[\]\\^-]/, "\\$&")}\\n]*`, "y");
  let at = from;
  while (at < text.length) {
    const row = readRow(text, at, mark, plain);
    if (row.error || row.cells.some((cell) => cell.trim()))
      yield row.error ? { line, error: row.error } : { line, cells: row.cells };
    line += row.lines;
    at = row.end;
  }
}

/** Read the row that begins at a place; ``end`` is where the next one begins. */
function readRow(text, start, mark, plain) {
  const cells = [];
  let lines = 1;
  for (let at = start; ; at += 1) {
    let cell = "";
    if (text[at] === '"') {
      const quoted = readQuoted(text, at + 1, MAX_LINES - lines);
      if (!quoted) return spoiled(text, start, "a quote is not closed");
      cell = quoted.cell;
      lines += quoted.lines;
      at = quoted.end;
      if (at < text.length && text[at] !== mark && text[at] !== "\n")
        return spoiled(text, start, "text follows a closing quote");
    } else {
      plain.lastIndex = at;
      cell = plain.exec(text)[0];
      at += cell.length;
    }
    cells.push(cell);
    if (text[at] !== mark) return { cells, lines, end: at + 1 };
  }
}

/** @returns {{cell: string, lines: number, end: number} | null} None where no quote closes it. */
function readQuoted(text, from, maxLines) {
  let cell = "";
  for (let at = from; ; at += 1) {
    const close = text.indexOf('"', at);
    if (close < 0) return null;
    cell += text.slice(at, close);
    at = close + 1;
    if (text[at] !== '"') {
      const lines = cell.split("\n").length - 1;
      return lines > maxLines ? null : { cell, lines, end: at };
    }
    cell += '"';
  }
}

/** Only this line is invalid. */
function spoiled(text, start, error) {
  const end = text.indexOf("\n", start);
  return { error, lines: 1, end: end < 0 ? text.length : end + 1 };
}

/** @param {any[]} values @returns {string} a line with its end */
export const csvLine = (values) => `${values.map((value) => quoted(guarded(String(value)))).join()}\r\n`;

const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

/** @param {string} cell */
export const guarded = (cell) => (FORMULA.test(cell) ? `'${cell}` : cell);

/** The value that `guarded` was given. @param {string} cell */
export const unguarded = (cell) => (GUARDED.test(cell) ? cell.slice(1) : cell);
