/** The health of each part, and how far the read model is behind the log. */
import { html } from "../html.js";

/** @import { Part, Status } from "../api/types.js" */

const GOOD = ["ok", "live", "active"];
const COUNT = new Intl.NumberFormat();
const count = (value, one, many = `${one}s`) =>
  value === undefined ? "" : `${COUNT.format(value)} ${value === 1 ? one : many}`;

/**
 * What `ops/status/` answers, or with less in it `/readyz`.
 * @typedef {{event_store: Status["event_store"], read_model: Status["read_model"],
 *   projection: Partial<Status["projection"] & Part>}} Health
 * @param {{status: Health}} props
 */
export function Parts({ status }) {
  const { event_store: store, read_model: model, projection } = status;
  const active = projection.active ?? projection.state === "active";
  const lag = { ...model, ...projection };
  return html`<section aria-labelledby="parts">
    <h2 id="parts">Parts</h2>
    ${store.damage && html`<p class="banner" role="alert">${store.damage}</p>`}
    <div class="scrolls" tabindex="0" role="region" aria-label="States of the parts">
      <table>
        <thead>
          <tr>
            <th scope="col">Part</th>
            <th scope="col">State</th>
            <th scope="col">Details</th>
          </tr>
        </thead>
        <tbody>
          <${Part} name="Event store" state=${store.state}
            facts=${[store.version || store.kind, at(store.position), count(store.events, "event")]} />
          <${Part} name="Read model" state=${model.state}
            facts=${[
              model.generation !== undefined && `generation ${model.generation}`,
              at(model.position),
              count(model.events_applied, "event applied", "events applied"),
              model.mirror_bytes && `${(model.mirror_bytes / 1e6).toFixed(1)} MB of records in memory`,
            ]} />
          <${Part} name="Projection" state=${active ? "active" : "stopped"} facts=${[lagOf(lag)]} />
        </tbody>
      </table>
    </div>
    ${Boolean(model.events_missing) &&
    html`<p>The read model has ${shareOf(store.events, model.events_missing)} of the log's events.</p>`}
  </section>`;
}

function Part({ name, state, facts }) {
  const isGood = GOOD.includes(state);
  return html`<tr>
    <th scope="row">${name}</th>
    <td><span class=${isGood ? "state" : "state bad"}>${state}</span></td>
    <td class="number wide">${facts.filter(Boolean).join(" · ") || "unknown"}</td>
  </tr>`;
}

const at = (position) => position !== undefined && `position ${COUNT.format(position)}`;

/** @param {Part} lag */
function lagOf({ lag_events: events, lag_seconds: seconds }) {
  if (events === undefined) return "";
  if (!events) return "no lag";
  return `${count(events, "event")} and ${(seconds ?? 0).toFixed(1)} s behind`;
}

/** Never rounded up to all. */
const shareOf = (all, missing) => `${(Math.floor(1000 * (1 - missing / all)) / 10).toFixed(1)} %`;
