/** The account's personal tokens, for scripts. */
import { html } from "../html.js";
import { call, get, Problem } from "../api/http.js";
import { Confirmation } from "../parts/confirmation.js";
import { Dialog } from "../parts/dialog.js";
import { Field, valuesOf } from "../parts/field.js";
import { tell, tellError, textOf } from "../parts/notice.js";
import { Secret } from "../parts/secret.js";
import { When } from "../parts/when.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { NewPersonalToken, PersonalToken } from "../api/types.js" */

const SCOPES = { read: "Read only", write: "Read and write" };
const DAYS = 90;

export function Tokens() {
  const [tokens, setTokens] = useState(/** @type {PersonalToken[] | null} */ (null));
  const [isNew, setIsNew] = useState(false);
  const [revoked, setRevoked] = useState(/** @type {PersonalToken | null} */ (null));
  const read = () =>
    get("auth/tokens/", { page_size: 100 })
      .then(({ data }) => setTokens(data.results))
      .catch(tellError);
  useEffect(() => void read(), []);

  async function revoke() {
    if (!revoked) return;
    await call("DELETE", `auth/tokens/${revoked.id}/`);
    tell(`The token “${revoked.name}” is revoked.`);
    await read();
  }

  return html`<section aria-labelledby="tokens">
    <h2 id="tokens">Personal tokens</h2>
    <p>For scripts, which send one as <code>Authorization: Bearer …</code>.</p>
    ${tokens?.length ? html`<${List} tokens=${tokens} onRevoke=${setRevoked} />` : null}
    <button class="secondary" onClick=${() => setIsNew(true)}>Create a token</button>
    ${isNew && html`<${Creation} onClose=${() => setIsNew(false)} onDone=${read} />`}
    ${revoked &&
    html`<${Confirmation} title=${`Revoke “${revoked.name}”?`} action="Revoke" onConfirm=${revoke}
      onClose=${() => setRevoked(null)}>
      <p>Scripts that use this token are refused from now on.</p>
    <//>`}
  </section>`;
}

/** @param {{tokens: PersonalToken[], onRevoke: (one: PersonalToken) => void}} props */
function List({ tokens, onRevoke }) {
  return html`<div class="scrolls">
    <table>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Scope</th>
          <th scope="col">Created</th>
          <th scope="col">Expires</th>
          <td></td>
        </tr>
      </thead>
      <tbody>
        ${tokens.map(
          (one) => html`<tr key=${one.id}>
            <th scope="row">${one.name}</th>
            <td>${SCOPES[one.scope] || one.scope}</td>
            <td><${When} at=${one.created_at} /></td>
            <td><${When} at=${one.expires_at} /></td>
            <td>
              <button class="plain" aria-label=${`Revoke ${one.name}`} onClick=${() => onRevoke(one)}>
                Revoke
              </button>
            </td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function Creation({ onClose, onDone }) {
  const [errors, setErrors] = useState(/** @type {Record<string, string[]>} */ ({}));
  const [refusal, setRefusal] = useState("");
  const [busy, setBusy] = useState(false);
  const [created, setCreated] = useState(/** @type {NewPersonalToken | null} */ (null));

  async function submit(event) {
    event.preventDefault();
    setBusy(true);
    setErrors({});
    setRefusal("");
    try {
      setCreated((await call("POST", "auth/tokens/", { body: valuesOf(event.target) })).data);
      onDone();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      const { detail, ...ofFields } = problem.errors;
      setErrors(ofFields);
      if (!Object.keys(ofFields).length) setRefusal(detail?.join(" ") || textOf(problem));
    } finally {
      setBusy(false);
    }
  }

  if (created)
    return html`<${Dialog} key="created" title=${`The token “${created.name}”`} onClose=${onClose}>
      <p>Copy it now: it is not shown again.</p>
      <${Secret} label="Token" text=${created.token} />
    <//>`;
  return html`<${Dialog} key="new" title="Create a token" onClose=${onClose}>
    <form onSubmit=${submit} novalidate>
      <${Field} name="name" label="Name" autofocus autocomplete="off" errors=${errors.name}
        hint="What it is for." />
      <fieldset aria-describedby=${errors.scope && "scope-errors"}>
        <legend>Scope</legend>
        ${Object.entries(SCOPES).map(
          ([scope, label]) => html`<label key=${scope}>
            <input type="radio" name="scope" value=${scope} defaultChecked=${scope === "read"} />
            ${label}
          </label>`,
        )}
        ${errors.scope && html`<small class="errors" id="scope-errors">${errors.scope.join(" ")}</small>`}
      </fieldset>
      <${Field} name="expires_in_days" label="Days until it expires" inputmode="numeric"
        defaultValue=${DAYS} errors=${errors.expires_in_days} hint="At most 365." />
      ${refusal && html`<p class="errors" role="alert">${refusal}</p>`}
      <footer><button type="submit" aria-busy=${busy}>Create</button></footer>
    </form>
  <//>`;
}
