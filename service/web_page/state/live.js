/** What others change, by the service's stream. The browser resumes it where it broke off. */
import { get, urlOf } from "../api/http.js";
import { effect, signal } from "../vendor/signals.js";
import { account } from "./session.js";

const RETRY_MS = 2_000;

/** @import { MovieEvent } from "../api/types.js" */

/** The last change, as the feed has it. */
export const lastChange = signal(/** @type {MovieEvent | null} */ (null));
/** Whether changes arrive: "connecting", "live", "lost". */
export const connection = signal("connecting");

/** @type {EventSource | null} */
let source = null;
/** @type {string | null} */
let last = null;

function open() {
  const opened = new EventSource(urlOf("events/stream", { after: last }));
  source = opened;
  let hasOpened = false;
  opened.onopen = () => {
    hasOpened = true;
    connection.value = "live";
  };
  for (const kind of ["MovieCreated", "MovieUpdated", "MovieDeleted", "MovieRestored", "message"])
    opened.addEventListener(kind, receive);
  opened.onerror = () => {
    connection.value = "lost";
    if (opened.readyState !== EventSource.CLOSED) return;
    close();
    if (!hasOpened) last = null; // perhaps the log no longer has this position
    setTimeout(reopen, RETRY_MS);
  };
}

/**
 * Ask for something first, which renews the session if it has expired: the position to begin from,
 * so that no change is missed between what a view reads now and the opening of the stream.
 */
async function reopen() {
  if (source || !account.value) return;
  try {
    if (last === null) last = (await get("movies/", { page_size: 1 })).headers.get("Event-Position");
    else await get("auth/me/");
    if (!source && account.value) open();
  } catch {
    setTimeout(reopen, RETRY_MS);
  }
}

function receive(event) {
  last = event.lastEventId;
  lastChange.value = JSON.parse(event.data);
}

function close() {
  source?.close();
  source = null;
}

effect(() => {
  if (account.value) source || reopen();
  else {
    close();
    last = null;
  }
});
