/** Parts of the page whose modules are loaded when they are shown for the first time. */
import { html } from "../html.js";
import { useEffect, useState } from "../vendor/hooks.js";

/**
 * @param {() => Promise<any>} load resolves with the component
 * @returns {any} A component that shows it once it is loaded. ``load`` is also its property, to load
 *   it before that.
 */
export function lazy(load) {
  /** @type {any} */
  let Part = null;
  const loadOnce = async () => (Part ||= await load());

  function Lazy(props) {
    const [state, setState] = useState("loading");
    useEffect(() => {
      if (!Part) loadOnce().then(() => setState("loaded"), () => setState("failed"));
    }, []);
    if (Part) return html`<${Part} ...${props} />`;
    return state === "failed" ? html`<${Failure} />` : html`<p aria-busy="true">Loading …</p>`;
  }
  Lazy.load = loadOnce;
  return Lazy;
}

/** Offline, or the service has a newer release, of which this page has no other file. */
function Failure() {
  return html`<div class="banner on-top" role="alert">
    <p>This part of the page cannot be loaded: the connection is lost, or there is a newer release.</p>
    <button onClick=${() => location.reload()}>Load the page again</button>
  </div>`;
}
