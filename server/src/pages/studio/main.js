// The frame around every page: where am I, is it there, where can I go; and which page an address is.

import { badge, fill, h, icon } from "./dom.js";
import { signInWith } from "./api.js";
import { STATES, find, onState, replaced, state } from "./connection.js";
import { follow } from "./live.js";
import { activeProfile, onChangeElsewhere } from "./store.js";
import { home } from "./view-home.js";
import { devices } from "./view-devices.js";
import { invite } from "./view-invite.js";
import { landing } from "./view-landing.js";
import { federated } from "./view-federated.js";
import { tasks, thread, threads } from "./view-threads.js";

const PAGES = [
  { path: /^\/(local(\/dashboard)?)?$/, title: "Home", show: home },
  { path: /^\/local\/tasks$/, title: "Tasks", show: tasks, live: true },
  { path: /^\/local\/threads$/, title: "Threads", show: threads, live: true },
  { path: /^\/local\/threads\/(.+)$/, title: "Thread", show: thread, live: true },
  { path: /^\/settings\/devices$/, title: "Devices", show: devices, live: true },
  { path: /^\/i\/([^/]+)$/, title: "Invite", show: invite, bare: true },
  { path: /^\/local\/pair$/, title: "Pair", show: landing, bare: true },
  { path: /^\/pair\/complete$/, title: "Pair", show: landing, bare: true },
  { path: /^\/pair(\/federated)?$/, title: "Sign in elsewhere", show: federated, bare: true },
];

const PLACES = [
  ["/", "Home", "M3 10.5 12 3l9 7.5V21h-6v-6H9v6H3z"],
  ["/local/threads", "Threads", "M4 5h16v11H9l-5 4z"],
  ["/local/tasks", "Tasks", "m4 12 5 5L20 6"],
  ["/settings/devices", "Devices", "M7 2h10v20H7zM11 19h2", "Settings"],
  ["/settings/devices#activity", "Audit", "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18"],
];

let leave = null;
let title = "Syncropel";
/** A page that shows nothing live still learns at once that its token has ended: a thread that nobody writes on. */
const PRESENCE = "/v1/events/stream?thread=.";

function link([href, name, path, group]) {
  const here = location.pathname + location.hash === href || (!href.includes("#") && location.pathname === href && !location.hash);
  return [group && h("span", { class: "group" }, group), h("a", { href, "aria-current": here && "page" }, icon(path), name)];
}

/** Where the browser stands, at the top of every page. */
function status() {
  const element = h("div", { class: "status", role: "status" });
  const show = () => {
    const { dot, label, mark } = STATES[state()];
    fill(element, badge(dot, label), mark && h("strong", { class: "mark" }, mark),
      state() === "expired" && location.pathname !== "/" && h("a", { href: "/" }, "Re-pair"),
      replaced && h("a", { href: location.href, target: "_self" }, "Another version runs now: reload"));
    document.getElementById("favicon").href = faviconOf(dot);
    document.title = dot === "ok" ? title : `${label} · ${title}`;
  };
  onState(show);
  show();
  return element;
}

function faviconOf(dot) {
  const colour = { ok: "#2f8f4e", warn: "#b7791f", bad: "#c53030", off: "#8a8f98" }[dot];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M6 9l10-5 10 5v14l-10 5-10-5z" fill="#334"/><circle cx="24" cy="24" r="7" fill="${colour}" stroke="#fff" stroke-width="2"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

function frame(page, main) {
  if (page.bare) return h("div", { class: "bare" }, h("header", null, h("a", { href: "/", class: "name" }, "Syncropel"), status()), main);
  return h("div", { class: "frame" },
    h("header", { class: "rail" },
      h("div", { class: "who" }, h("a", { href: "/", class: "name" }, location.host), status()),
      h("nav", { "aria-label": "Pages" }, PLACES.map(link))),
    main);
}

/** Shows the page of the address. */
async function show() {
  leave?.abort();
  leave = new AbortController();
  const found = PAGES.map((page) => [page, page.path.exec(location.pathname)]).find(([, match]) => match);
  const main = h("main", { id: "main", tabindex: "-1" });
  const [page, match] = found ?? [{ title: "Not found", show: lost, bare: true }, []];
  title = `${page.title} · ${location.host}`;
  document.title = title;
  document.getElementById("app").replaceChildren(frame(page, main));
  const profile = await activeProfile();
  signInWith(profile?.token ?? null);
  const settled = find();
  const { signal } = leave;
  const presence = () => profile && settled.then(() => follow(PRESENCE, () => {}, signal));
  if (!page.live) presence();
  await page.show(main, { parts: match.slice(1).map(decodeURIComponent), profile, signal, settled, go, presence });
}

function lost(main) {
  fill(main, h("h1", null, "Nothing is here"), h("p", null, "The address leads to no page of this instance."), h("p", null, h("a", { href: "/" }, "Home")));
}

/** Goes to another page of this instance, leaving no trace of this one in the history. */
function go(path) {
  history.replaceState(null, "", path);
  show();
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || anchor.target || !PAGES.some((page) => page.path.test(url.pathname))) return;
  event.preventDefault();
  history.pushState(null, "", url.pathname + url.hash);
  show();
});
window.addEventListener("popstate", show);
// A page that is kept for the way back keeps no stream meanwhile: a browser has six connections to a host.
window.addEventListener("pagehide", () => leave?.abort());
window.addEventListener("pageshow", (event) => { if (event.persisted) show(); });
onChangeElsewhere(() => show());
show();
