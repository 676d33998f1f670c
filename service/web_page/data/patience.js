/** Repeats what the service refuses for a while only, when it says that it may be repeated. */

const MAX_ATTEMPTS = 8;
const DEFAULT_S = 2;
const MAX_S = 60;

/** Whether the same request may succeed later: a limit, a restart, a lost connection. */
const isPassing = ({ status, code }) =>
  status === 0 || status === 429 || status === 503 || code === "idempotency_key_in_flight";

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} Rejects when aborted. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", stop);
    function done() {
      signal.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    return undefined;
  });
}

/**
 * A function that sends requests and waits as long as `Retry-After` says; a wait holds for all
 * requests that go through it.
 * @param {AbortSignal} signal
 * @param {typeof pause} [wait]
 * @param {number} [attempts] of each request
 */
export function patience(signal, wait = pause, attempts = MAX_ATTEMPTS) {
  let until = 0;
  /**
   * @template T
   * @param {() => Promise<T>} send
   * @returns {Promise<T>}
   */
  return async (send) => {
    for (let attempt = 1; ; attempt += 1) {
      for (let left = until - Date.now(); left > 0; left = until - Date.now()) await wait(left, signal);
      signal.throwIfAborted();
      try {
        return await send();
      } catch (error) {
        const problem = /** @type {any} */ (error);
        if (!isPassing(problem) || attempt === attempts) throw problem;
        const seconds = Number(problem.headers?.get("Retry-After")) || DEFAULT_S;
        until = Math.max(until, Date.now() + 1000 * Math.min(seconds, MAX_S));
      }
    }
  };
}
