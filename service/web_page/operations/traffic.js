/** Request rate and latency while the view is open: two plots, and a table of the same numbers. */
import { html } from "../html.js";
import { get, Problem } from "../api/http.js";
import { Plot } from "./plot.js";
import { ratesOf, readMetrics } from "./metrics.js";
import { usePolling } from "./polling.js";
import { useRef, useState } from "../vendor/hooks.js";

/** @import { Rates, Reading } from "./metrics.js" */

const EVERY_MS = 2_000;
const KEPT = 150;
/** After a longer pause (a hidden tab) the next reading is compared with none before it. */
const PAUSE_S = 10;
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function Traffic() {
  const last = useRef(/** @type {{at: number, reading: Reading} | null} */ (null));
  const [samples, setSamples] = useState(/** @type {({at: number} & Partial<Rates>)[]} */ ([]));
  const [refusal, setRefusal] = useState("");

  usePolling(async (signal) => {
    try {
      const { data } = await get("../../metrics", {}, { signal });
      const now = { at: Date.now() / 1000, reading: readMetrics(data) };
      const before = last.current;
      last.current = now;
      setRefusal("");
      if (!before) return;
      const seconds = now.at - before.at;
      const rates = seconds < PAUSE_S ? ratesOf(before.reading, now.reading, seconds) : null;
      setSamples((shown) => [...shown, { at: now.at, ...rates }].slice(-KEPT));
    } catch (problem) {
      if (problem instanceof Problem) setRefusal(`The metrics cannot be read. ${problem.message}`);
    }
  }, EVERY_MS);

  const column = (name) => samples.map((one) => one[name] ?? null);
  const times = column("at");
  return html`<section aria-labelledby="traffic">
    <h2 id="traffic">Traffic</h2>
    <p>
      Requests to the API on this machine, every 2 seconds while this view is open; without probes,
      streams and what this view asks for.
    </p>
    ${refusal && html`<p class="banner" role="status">${refusal}</p>`}
    <div class="plots">
      <${Plot} title="Requests per second" unit="/s" names=${["all", "failed (5xx)"]}
        data=${[times, column("rate"), column("failed")]} />
      <${Plot} title="Latency" unit="ms" names=${["median", "95th percentile"]}
        data=${[times, column("median"), column("high")]} />
    </div>
    <details>
      <summary>The numbers as a table</summary>
      <${Numbers} samples=${samples} />
    </details>
  </section>`;
}

function Numbers({ samples }) {
  const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(1));
  return html`<div class="scrolls tall" tabindex="0" role="region" aria-label="Numbers of the plots">
    <table class="number">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Requests per second</th>
          <th scope="col">Failed per second</th>
          <th scope="col">Median in ms</th>
          <th scope="col">95th percentile in ms</th>
        </tr>
      </thead>
      <tbody>
        ${samples.toReversed().map(
          (one) => html`<tr key=${one.at}>
            <th scope="row">${TIME.format(one.at * 1000)}</th>
            <td>${number(one.rate)}</td>
            <td>${number(one.failed)}</td>
            <td>${number(one.median)}</td>
            <td>${number(one.high)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
