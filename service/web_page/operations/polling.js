/** Asks again and again while a view is open and its tab is seen. */
import { useEffect } from "../vendor/hooks.js";

/**
 * @param {(signal: AbortSignal) => Promise<void>} ask tells its own errors
 * @param {number} everyMs from the end of one call to the next
 * @param {any[]} inputs begins anew when one of them changes
 */
export function usePolling(ask, everyMs, inputs = []) {
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    let isAsking = false;

    async function round() {
      clearTimeout(timer);
      if (isAsking || document.hidden) return;
      isAsking = true;
      try {
        await ask(stop.signal);
      } finally {
        isAsking = false;
        if (!stop.signal.aborted && !document.hidden) timer = setTimeout(round, everyMs);
      }
    }
    const onChange = () => (document.hidden ? clearTimeout(timer) : round());

    document.addEventListener("visibilitychange", onChange);
    round();
    return () => {
      document.removeEventListener("visibilitychange", onChange);
      clearTimeout(timer);
      stop.abort();
    };
  }, inputs);
}
