/** The movies in a file: CSV, JSON Lines or a JSON array. */
import { readCsv } from "./csv.js";

export const COLUMNS = ["title", "genre", "year"];

/** The file as a whole cannot be read. */
export class FileError extends Error {}

/**
 * @typedef {{line: number, fields?: Record<string, any>, error?: string}} MovieRow ``line`` counts
 *   from 1; of a JSON array it is the number of the element
 * @param {ArrayBuffer | Uint8Array} bytes UTF-8
 * @returns {MovieRow[]} Throws FileError.
 */
export function readMovies(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new FileError("The file is not UTF-8 text.");
  }
  const first = text.trimStart()[0];
  if (first === undefined) throw new FileError("The file is empty.");
  if (first === "{") return readLines(text);
  return first === "[" ? readArray(text) : readTable(text);
}

function readTable(text) {
  const { header, rows } = readCsv(text, COLUMNS);
  const missing = COLUMNS.filter((name) => !header.includes(name));
  if (missing.length)
    throw new FileError(`The first line has to name the columns; it lacks ${missing.join(", ")}.`);
  return rows.map(({ line, cells, error }) =>
    cells ? { line, fields: fieldsOf((name) => cells[header.indexOf(name)]) } : { line, error },
  );
}

function readLines(text) {
  const rows = text.split("\n").map((line, index) => ({ line: index + 1, text: line.trim() }));
  return rows.filter((row) => row.text).map((row) => objectRow(row.line, () => JSON.parse(row.text)));
}

function readArray(text) {
  try {
    return JSON.parse(text).map((value, index) => objectRow(index + 1, () => value));
  } catch {
    throw new FileError("The file is not valid JSON.");
  }
}

function objectRow(line, read) {
  let value;
  try {
    value = read();
  } catch {
    return { line, error: "not valid JSON" };
  }
  if (value === null || typeof value !== "object" || Array.isArray(value))
    return { line, error: "not an object" };
  return { line, fields: fieldsOf((name) => value[name]) };
}

/** Only what a movie is made of: the rest of an export is decided by the service. */
const fieldsOf = (read) =>
  Object.fromEntries(COLUMNS.map((name) => [name, read(name)]).filter(([, value]) => value !== undefined));
