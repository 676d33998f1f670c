/** Reads the whole of a list, page after page, and makes a file of it. */
import { csvLine, EXPORTED } from "./csv.js";
import { patience } from "./patience.js";

export const MAX_ROWS = 100_000;
const PAGE_SIZE = 100;

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
 * @param {Record<string, string>} query filters, ordering and moment of the list
 * @param {{row: (movie: any) => string}} format
 * @param {(query: Record<string, any>) => Promise<{data: any, headers: Headers}>} read
 * @param {{signal: AbortSignal, onProgress: (done: number, total: number) => void,
 *   wait?: (ms: number, signal: AbortSignal) => Promise<void>}} options
 * @returns {Promise<{rows: string[], isWhole: boolean}>}
 */
export async function readAll(query, format, read, { signal, onProgress, wait }) {
  const patiently = patience(signal, wait);
  /** @type {string[]} */
  const rows = [];
  /** @type {Record<string, any> | null} */
  let next = { ...query, page_size: PAGE_SIZE };
  while (next && rows.length < MAX_ROWS) {
    const asked = next;
    const { data, headers } = await patiently(() => read(asked));
    for (const movie of data.results) rows.push(format.row(movie));
    onProgress(rows.length, Math.min(Math.max(data.count, rows.length), MAX_ROWS));
    next = nextQuery(headers);
  }
  return { rows, isWhole: !next };
}
