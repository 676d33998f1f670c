/**
 * Calls of the API. The tokens are in cookies that no script can read; a call that is refused for
 * an expired one is repeated once, after one tab has renewed the cookies for all.
 */

/** Where the service is: the page's files lie in page/<digest>/ below it. */
export const ROOT = new URL("../../../", import.meta.url);
const API = new URL("api/v1/", ROOT);
const TIMEOUT_MS = 30_000;

/** @import { Answer, DataOf, Method, Options, Path, ProblemDocument } from "./types.js" */

/** An answer that is a refusal, or none at all (status 0). */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {ProblemDocument} document RFC 9457: code, detail, errors …
   * @param {Headers} headers
   */
  constructor(status, document, headers = new Headers()) {
    super(document.detail || "The service cannot be reached.");
    this.status = status;
    this.code = document.code || "";
    /** @type {Record<string, string[]>} */
    this.errors = document.errors || {};
    this.document = document;
    this.headers = headers;
  }
}

/** Called when the session has ended. */
export const onSessionEnd = { call: () => {} };
/** Called with the position of a change that is saved and not shown by lists yet. */
export const onBehind = { call: (/** @type {number} */ _position) => {} };

/**
 * @template {Method} M
 * @template {Path} P
 * @param {M} method
 * @param {P} path below /api/v1/
 * @param {Options<M, P>} [options]
 * @returns {Promise<Answer<DataOf<M, P>>>} Rejects with Problem, and AbortError.
 */
export async function call(method, path, options = {}) {
  try {
    return await send(method, path, options);
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 401 || path.startsWith("auth/session/"))
      throw problem;
    await renew();
    return await send(method, path, options);
  }
}

/**
 * @template {Path} P
 * @param {P} path
 * @param {Options<"GET", P>["query"]} [query]
 * @param {Omit<Options<"GET", P>, "query">} [options]
 * @returns {Promise<Answer<DataOf<"GET", P>>>}
 */
export const get = (path, query, options = {}) => call("GET", path, { ...options, query });

/** @param {string} path @param {Record<string, any>} query */
export function urlOf(path, query = {}) {
  const url = new URL(path, API);
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  return url;
}

/**
 * @param {string} method @param {string} path
 * @param {{query?: Record<string, any>, body?: any, headers?: Record<string, string>,
 *   signal?: AbortSignal}} options
 * @returns {Promise<Answer<any>>}
 */
async function send(method, path, { query, body, headers = {}, signal }) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  try {
    response = await fetch(urlOf(path, query), {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: {
        "X-Cinelog": "page",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, {});
  }
  const type = response.headers.get("content-type") || "";
  const isText = type.startsWith("text/plain");
  const data = type.includes("json") ? await response.json() : isText ? await response.text() : null;
  if (!response.ok) throw new Problem(response.status, data || {}, response.headers);
  if (response.headers.get("Read-Model") === "behind")
    onBehind.call(Number(response.headers.get("Event-Position")));
  return { status: response.status, headers: response.headers, data };
}

/** Renew the cookies; of several tabs at once, one does it. */
let renewedAt = 0;
const told = new BroadcastChannel("cinelog-renewed");
told.onmessage = () => (renewedAt = Date.now());

async function renew() {
  const asked = Date.now();
  await navigator.locks.request("cinelog-renew", async () => {
    if (renewedAt >= asked) return; // another call or tab has done it
    try {
      await send("POST", "auth/session/refresh/", {});
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 401) onSessionEnd.call();
      throw problem;
    }
    renewedAt = Date.now();
    told.postMessage("renewed");
  });
}

/** A header value as bytes of UTF-8, which fetch takes one character each. @param {string} text */
export const headerText = (text) => String.fromCharCode(...new TextEncoder().encode(text));
