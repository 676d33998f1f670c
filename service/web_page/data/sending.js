/** Sends the movies of a file, some at once; a row that was sent before adds nothing. */
import { patience } from "./patience.js";

const AT_ONCE = 4;

/**
 * The key of a row: the same for the same content on the same line of a file of the same name.
 * @param {string} name @param {{line: number, fields?: object}} row @returns {Promise<string>}
 */
export async function keyOf(name, { line, fields }) {
  const bytes = new TextEncoder().encode(JSON.stringify([name, line, fields]));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Refusals of a row; any other one ends the sending. */
const isOfRow = ({ status }) => status === 400 || status === 413 || status === 422;

/**
 * @typedef {{added: number, known: number, refused: {line: number, problem: any}[]}} Outcome
 * @param {import("./movie_file.js").MovieRow[]} rows those with fields
 * @param {(row: any) => Promise<{headers: Headers}>} post
 * @param {{signal: AbortSignal, onProgress: (outcome: Outcome) => void,
 *   wait?: (ms: number, signal: AbortSignal) => Promise<void>}} options
 * @returns {Promise<Outcome>} Rejects with what ended it: an AbortError, or a refusal of no row.
 */
export async function sendRows(rows, post, { signal, onProgress, wait }) {
  /** @type {Outcome} */
  const outcome = { added: 0, known: 0, refused: [] };
  const patiently = patience(signal, wait);
  let next = 0;
  let failed = false;

  async function work() {
    while (next < rows.length && !failed) {
      const row = rows[next];
      next += 1;
      try {
        const { headers } = await patiently(() => post(row));
        if (headers.get("Idempotent-Replayed")) outcome.known += 1;
        else outcome.added += 1;
      } catch (error) {
        const problem = /** @type {any} */ (error);
        if (isOfRow(problem)) outcome.refused.push({ line: row.line, problem });
        else {
          failed = true;
          throw problem;
        }
      }
      onProgress({ ...outcome });
    }
  }

  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return outcome;
}
