/** The account: its sessions, tokens and password, and what happened to it. */
import { html } from "../html.js";
import { call, get, Problem } from "../api/http.js";
import { Field, valuesOf } from "../parts/field.js";
import { tell, tellError, textOf } from "../parts/notice.js";
import { When } from "../parts/when.js";
import { Tokens } from "./tokens.js";
import { account, signOutEverywhere } from "../state/session.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { AccountEntry, Session } from "../api/types.js" */

export function Account() {
  if (!account.value) return null;
  const { username, email, first_name, last_name } = account.value;
  const name = [first_name, last_name].filter(Boolean).join(" ");
  return html`<h1>Account</h1>
    <dl class="facts">
      <div><dt>Username</dt><dd>${username}</dd></div>
      <div><dt>E-mail</dt><dd>${email}</dd></div>
      ${name && html`<div><dt>Name</dt><dd>${name}</dd></div>`}
    </dl>
    <${Sessions} />
    <${Tokens} />
    <${Password} />
    <${AccountHistory} />`;
}

function Sessions() {
  const [sessions, setSessions] = useState(/** @type {Session[] | null} */ (null));
  const read = () =>
    get("auth/sessions/", { page_size: 100 })
      .then(({ data }) => setSessions(data.results))
      .catch(tellError);
  useEffect(() => void read(), []);

  async function end(id) {
    try {
      if (!id) return await signOutEverywhere();
      await call("DELETE", `auth/sessions/${id}/`);
      tell("The session is ended.");
      await read();
    } catch (problem) {
      tellError(problem);
    }
    return undefined;
  }

  return html`<section aria-labelledby="sessions">
    <h2 id="sessions">Sessions</h2>
    <div class="scrolls">
      <table>
        <thead>
          <tr>
            <th scope="col">Device</th>
            <th scope="col">Since</th>
            <th scope="col">Last used</th>
            <th scope="col">Ends</th>
            <td></td>
          </tr>
        </thead>
        <tbody>
          ${(sessions || []).map(
            (one) => html`<tr key=${one.id}>
              <td title=${one.device}>${deviceOf(one.device)}</td>
              <td><${When} at=${one.created_at} /></td>
              <td><${When} at=${one.refreshed_at || one.created_at} /></td>
              <td><${When} at=${one.expires_at} /></td>
              <td>
                ${one.current
                  ? "this one"
                  : html`<button class="plain" onClick=${() => end(one.id)}>End</button>`}
              </td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <button class="secondary" onClick=${() => end("")}>Sign out everywhere</button>
  </section>`;
}

/** @param {string | null} agent a User-Agent @returns {string} what people call it */
function deviceOf(agent) {
  if (!agent) return "unknown";
  const browser = ["Firefox", "Edg", "OPR", "Chrome", "Safari"].find((name) => agent.includes(name));
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"].find((name) =>
    agent.includes(name),
  );
  if (!browser) return agent.split(" ")[0];
  const name = { Edg: "Edge", OPR: "Opera" }[browser] || browser;
  return system ? `${name} on ${system}` : name;
}

function Password() {
  const [errors, setErrors] = useState(/** @type {Record<string, string[]>} */ ({}));
  async function submit(event) {
    event.preventDefault();
    setErrors({});
    try {
      await call("POST", "auth/password/", { body: valuesOf(event.target) });
      event.target.reset();
      tell("The password is changed, and all other sessions are ended.");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setErrors(problem.errors);
      if (!Object.keys(problem.errors).length) tell(textOf(problem), true);
    }
  }
  const field = (name, label, autocomplete) =>
    html`<${Field} ...${{ name, label, autocomplete, errors: errors[name] }} type="password" />`;
  return html`<section aria-labelledby="password">
    <h2 id="password">Password</h2>
    <form class="narrow" onSubmit=${submit} novalidate>
      ${field("old_password", "Old password", "current-password")}
      ${field("new_password", "New password", "new-password")}
      ${field("new_password2", "New password again", "new-password")}
      <button type="submit">Change the password</button>
    </form>
  </section>`;
}

function AccountHistory() {
  const [entries, setEntries] = useState(/** @type {AccountEntry[]} */ ([]));
  useEffect(() => {
    get("auth/me/history/", { page: "last", page_size: 50 })
      .then(({ data }) => setEntries(data.results.toReversed()))
      .catch(tellError);
  }, []);
  return html`<section aria-labelledby="account-history">
    <h2 id="account-history">What happened</h2>
    <ol class="timeline" reversed>
      ${entries.map(
        (one) => html`<li key=${one.version}>
          <p class="what">${wordsOf(one.type)} · <${When} at=${one.at} /></p>
        </li>`,
      )}
    </ol>
  </section>`;
}

/** @param {string} type UserRegistered → User registered */
const wordsOf = (type) =>
  type.replace(/(?<!^)([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
