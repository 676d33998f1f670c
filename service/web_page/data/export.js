/** Reads the whole of a list, page after page, and makes a file of it: of one moment. */
import { csvLine, EXPORTED } from "./csv.js";
import { patience } from "./patience.js";

/** @import { Movie, MovieEvent, MoviePage } from "../api/types.js" */

export const MAX_ROWS = 100_000;
const PAGE_SIZE = 100;
/** A list up to this length is read again so often before the service is asked to build one. */
const SHORT = 2_000;
const MAX_READS = 3;
/** Of one page: a list of a large log is built in minutes. */
const ATTEMPTS = 50;

export const FORMATS = {
  csv: {
    label: "CSV, for spreadsheets",
    type: "text/csv;charset=utf-8",
    begin: csvLine(EXPORTED),
    row: (movie) => csvLine(EXPORTED.map((name) => movie[name])),
    between: "",
    end: "",
  },
  json: {
    label: "JSON",
    type: "application/json",
    begin: "[\n",
    row: (movie) => JSON.stringify(movie),
    between: ",\n",
    end: "\n]\n",
  },
};

/** @param {Headers} headers @returns {Record<string, string> | null} the query of the next page */
export function nextQuery(headers) {
  const link = /<([^>]*)>;\s*rel="next"/.exec(headers.get("Link") || "");
  return link && Object.fromEntries(new URLSearchParams(link[1].slice(link[1].indexOf("?"))));
}

/**
 * @template T
 * @typedef {(query: Record<string, any>) => Promise<{data: T, headers: Headers}>} Read
 */

/**
 * All rows, as they were at one moment. Where the log has changes of movies between the first page and
 * the last, a short list is read again; a list of the position that was reached is asked for where
 * that does not help, which the service builds.
 * @param {Record<string, string>} query filters, ordering and moment of the list
 * @param {{row: (movie: Movie) => string}} format
 * @param {{movies: Read<MoviePage>, events: Read<{results: MovieEvent[]}>}} read
 * @param {{signal: AbortSignal, onProgress: (done: number, total: number) => void,
 *   wait?: (ms: number, signal: AbortSignal) => Promise<void>}} options
 * @returns {Promise<{rows: string[], isWhole: boolean}>}
 */
export async function readAll(query, format, read, { signal, onProgress, wait }) {
  const patiently = patience(signal, wait, ATTEMPTS);

  /** @param {Record<string, any>} asked */
  async function readPages(asked) {
    /** @type {string[]} */
    const rows = [];
    /** @type {number[]} */
    const positions = [];
    /** @type {Record<string, any> | null} */
    let next = { ...asked, page_size: PAGE_SIZE };
    while (next && rows.length < MAX_ROWS) {
      /** @type {Record<string, any>} */
      const page = next;
      const { data, headers } = await patiently(() => read.movies(page));
      for (const movie of data.results) rows.push(format.row(movie));
      positions.push(Number(headers.get("Event-Position")));
      onProgress(rows.length, Math.min(Math.max(data.count, rows.length), MAX_ROWS));
      next = nextQuery(headers);
    }
    return { rows, isWhole: !next, first: positions[0], last: positions[positions.length - 1] };
  }

  async function isOfOneMoment({ first, last }) {
    if (first === last) return true;
    const { data } = await patiently(() => read.events({ after: first, limit: 1 }));
    return !data.results.some(({ position }) => position <= last);
  }

  for (let reads = 1; ; reads += 1) {
    const found = await readPages(query);
    if (await isOfOneMoment(found)) return found;
    if (reads === MAX_READS || found.rows.length > SHORT)
      return readPages({ ...query, at_position: found.last });
  }
}
