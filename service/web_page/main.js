/** The page: who is signed in, and which view the address names. */
import { html } from "./html.js";
import { behind } from "./state/behind.js";
import { connection } from "./state/live.js";
import { isHelpOpen } from "./state/keys.js";
import { account, signOut, start } from "./state/session.js";
import { href, route } from "./state/route.js";
import { Help } from "./parts/help.js";
import { Notice, tellError } from "./parts/notice.js";
import { lazy } from "./parts/lazy.js";
import { MovieDialog, Movies } from "./views/movies.js";
import { SignIn } from "./views/sign_in.js";
import { render } from "./vendor/preact.js";
import { effect } from "./vendor/signals.js";

const Account = lazy(async () => (await import("./views/account.js")).Account);
const Log = lazy(async () => (await import("./views/log.js")).Log);
const Moments = lazy(async () => (await import("./views/moments.js")).Moments);
const Movie = lazy(async () => (await import("./views/movie.js")).Movie);
const Operations = lazy(async () => (await import("./views/operations.js")).Operations);
const Reset = lazy(async () => (await import("./views/reset.js")).Reset);
/** Most visits need them: loaded while nothing else is. */
const SOON = [Movie, MovieDialog, Log];
const SOON_MS = 1_500;

const VIEWS = { movies: "Movies", log: "Log", operations: "Operations", account: "Account" };
const BEHIND = {
  mine: "Your change is saved. Lists do not show it yet; they follow.",
  others: "Lists are behind the last changes; they follow.",
};
const isOpen = (view) => view !== "operations" || account.value?.operator;

function Navigation() {
  const [first] = route.value.path;
  const here = first in VIEWS ? first : "movies";
  return html`<header>
    <nav aria-label="Views">
      <ul>
        <li><a class="name" href=${href("movies")}>Cinelog</a></li>
        ${account.value &&
        Object.entries(VIEWS)
          .filter(([path]) => isOpen(path))
          .map(
            ([path, name]) => html`<li key=${path}>
              <a href=${href(path)} aria-current=${here === path ? "page" : undefined}>${name}</a>
            </li>`,
          )}
      </ul>
      ${account.value &&
      html`<ul>
        <li class="who">${account.value.username}</li>
        <li>
          <button class="plain" onClick=${() => (isHelpOpen.value = true)}>Keys</button>
        </li>
        <li><button class="plain" onClick=${() => signOut().catch(tellError)}>Sign out</button></li>
      </ul>`}
    </nav>
    ${account.value &&
    connection.value === "lost" &&
    html`<p class="banner" role="status">
      The connection is lost. Changes by others are shown when it is back.
    </p>`}
    ${account.value &&
    behind.value &&
    html`<p class="banner" role="status">${BEHIND[behind.value]}</p>`}
  </header>`;
}

function View() {
  const [name = "movies", ...rest] = route.value.path;
  if (account.value === undefined) return html`<p aria-busy="true">Loading …</p>`;
  if (name === "reset") return html`<${Reset} />`;
  if (account.value === null) return html`<${SignIn} key=${name} isNew=${name === "register"} />`;
  if (name === "movies" && rest.length) return html`<${Movie} key=${rest[0]} id=${rest[0]} />`;
  if (name === "moments") return html`<${Moments} />`;
  if (name === "log") return html`<${Log} />`;
  if (name === "account") return html`<${Account} />`;
  if (name === "operations" && isOpen(name)) return html`<${Operations} />`;
  return html`<${Movies} />`;
}

function App() {
  return html`<a class="skip" href="#main" onClick=${skip}>To the content</a>
    <${Navigation} />
    <main id="main" tabindex="-1"><${View} /></main>
    <${Help} />
    <${Notice} />`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

const TITLES = { ...VIEWS, moments: "What changed" };
effect(() => {
  const [path = "movies"] = route.value.path;
  const name = path === "reset" ? "New password" : account.value ? TITLES[path] : "Sign in";
  document.title = name ? `${name} · Cinelog` : "Cinelog";
});
render(html`<${App} />`, /** @type {Element} */ (document.getElementById("app")));
start().catch(tellError);
effect(() => {
  if (account.value) setTimeout(() => SOON.forEach((part) => part.load().catch(() => {})), SOON_MS);
});
