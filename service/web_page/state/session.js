/** Who is signed in: one session for all tabs. */
import { call, get, onSessionEnd, Problem } from "../api/http.js";
import { signal } from "../vendor/signals.js";

/** @import { Account } from "../api/types.js" */

/** The account; null for nobody, undefined until it is known. */
export const account = signal(/** @type {Account | null | undefined} */ (undefined));

/** Whether this browser may have a session: its cookies cannot be seen. */
const HINT = "cinelog-signed-in";
const tabs = new BroadcastChannel("cinelog-session");
tabs.onmessage = ({ data }) => (account.value = data);
onSessionEnd.call = () => set(null);

/** @param {Account | null} value */
function set(value) {
  account.value = value;
  if (value) localStorage.setItem(HINT, "1");
  else localStorage.removeItem(HINT);
}

/** @param {Account | null} value */
function tell(value) {
  set(value);
  tabs.postMessage(value);
}

export async function start() {
  if (!localStorage.getItem(HINT)) return set(null);
  try {
    set((await get("auth/me/")).data);
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 401) throw problem;
    set(null);
  }
  return undefined;
}

/** @param {{username: string, password: string}} credentials */
export async function signIn(credentials) {
  tell((await call("POST", "auth/session/", { body: credentials })).data);
}

/** @param {Record<string, string>} fields */
export async function register(fields) {
  await call("POST", "auth/register/", { body: fields });
  await signIn({ username: fields.username, password: fields.password });
}

export async function signOut() {
  await call("DELETE", "auth/session/");
  tell(null);
}

/** End every session of the account. */
export async function signOutEverywhere() {
  await call("DELETE", "auth/sessions/");
  tell(null);
}
