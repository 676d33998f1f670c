/** All accounts: a link for a new password, and closing one. */
import { html } from "../html.js";
import { call, get } from "../api/http.js";
import { Confirmation } from "../parts/confirmation.js";
import { Dialog } from "../parts/dialog.js";
import { tell, tellError } from "../parts/notice.js";
import { Pager } from "../parts/pager.js";
import { Secret } from "../parts/secret.js";
import { When } from "../parts/when.js";
import { account } from "../state/session.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { AccountPage, AccountSummary, PasswordLink } from "../api/types.js" */

const SIZE = 20;
const nameOf = (/** @type {AccountSummary} */ one) => encodeURIComponent(one.username);

export function Accounts() {
  const [query, setQuery] = useState({ page: 1, username: "" });
  const [shown, setShown] = useState(/** @type {AccountPage | null} */ (null));
  const [asked, setAsked] = useState(/** @type {{what: string, of: AccountSummary} | null} */ (null));
  const [link, setLink] = useState(/** @type {(PasswordLink & {username: string}) | null} */ (null));

  const read = () =>
    get("ops/accounts/", { ...query, page_size: SIZE })
      .then(({ data }) => setShown(data))
      .catch(tellError);
  useEffect(() => void read(), [query]);

  async function makeLink() {
    if (!asked) return;
    const { data } = await call("POST", `ops/accounts/${nameOf(asked.of)}/password-link/`);
    setLink({ ...data, username: asked.of.username });
  }

  async function close() {
    if (!asked) return;
    await call("POST", `ops/accounts/${nameOf(asked.of)}/close/`);
    tell(`The account ${asked.of.username} is closed.`);
    await read();
  }

  function find(event) {
    event.preventDefault();
    setQuery({ page: 1, username: event.target.elements.username.value.trim() });
  }

  const username = asked?.of.username;
  return html`<section aria-labelledby="accounts">
    <h2 id="accounts">Accounts</h2>
    <form class="row" aria-label="Find an account" onSubmit=${find}>
      <p>
        <label for="account-name">Username</label>
        <input id="account-name" name="username" autocomplete="off" />
      </p>
      <button type="submit" class="secondary">Find</button>
    </form>
    ${shown?.count === 0 && html`<p class="empty">There is no account of this name.</p>`}
    ${shown &&
    shown.count > 0 &&
    html`<${List} accounts=${shown.results} onAsk=${setAsked} />
      <${Pager} page=${query.page} size=${SIZE} count=${shown.count} of="accounts"
        onPage=${(page) => setQuery({ ...query, page })} />`}
    ${asked?.what === "link" &&
    html`<${Confirmation} title=${`A password link for ${username}?`} action="Make the link"
      onConfirm=${makeLink} onClose=${() => setAsked(null)}>
      <p>Whoever has it can set a new password of this account, once and within an hour. An earlier
      link becomes invalid.</p>
    <//>`}
    ${asked?.what === "close" &&
    html`<${Confirmation} title=${`Close the account ${username} for ever?`} action="Close the account"
      onConfirm=${close} onClose=${() => setAsked(null)}>
      <p>It signs in no more, and its sessions and tokens end. Its movies and its name stay. Nobody
      can open it again.</p>
    <//>`}
    ${link &&
    html`<${Dialog} title=${`Password link for ${link.username}`} onClose=${() => setLink(null)}>
      <p>Send it to its owner: it is not shown again. Good until <${When} at=${link.expires_at} />.</p>
      <${Secret} label="Link" text=${link.url} />
    <//>`}
  </section>`;
}

/** @param {{accounts: AccountSummary[], onAsk: (asked: any) => void}} props */
function List({ accounts, onAsk }) {
  return html`<div class="scrolls">
    <table>
      <thead>
        <tr>
          <th scope="col">Username</th>
          <th scope="col">Since</th>
          <th scope="col">State</th>
          <td></td>
        </tr>
      </thead>
      <tbody>
        ${accounts.map((one) => html`<${Row} key=${one.id} one=${one} onAsk=${onAsk} />`)}
      </tbody>
    </table>
  </div>`;
}

/** @param {{one: AccountSummary, onAsk: (asked: any) => void}} props */
function Row({ one, onAsk }) {
  const { username, closed, operator } = one;
  const button = (what, text) =>
    html`<button class="plain" aria-label=${`${text} ${username}`}
      onClick=${() => onAsk({ what, of: one })}>${text}</button>`;
  return html`<tr>
    <th scope="row">${username}</th>
    <td><${When} at=${one.created_at} /></td>
    <td>${closed ? "closed" : operator ? "operator" : "open"}</td>
    <td>
      <div class="actions">
        ${!closed && button("link", "Password link")}
        ${!closed && username !== account.value?.username && button("close", "Close")}
      </div>
    </td>
  </tr>`;
}
