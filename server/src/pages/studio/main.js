// The frame around every page: where am I, is it there, where can I go; and which page an address is.

import { announce, badge, fill, h, icon, notice } from "./dom.js";
import { Unreachable, signInWith } from "./api.js";
import { STATES, find, isConnected, onState, replaced, state } from "./connection.js";
import { follow } from "./live.js";
import { settle } from "./renewal.js";
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
let shown = null;
let shownAt = null;
let inUse;
let title = "Syncropel";
/** A page that shows nothing live still learns at once that its token has ended: a thread that nobody writes on. */
const PRESENCE = "/v1/events/stream?thread=.";

function link([href, name, path, group]) {
  const here = location.pathname + location.hash === href || (!href.includes("#") && location.pathname === href && !location.hash);
  return [group && h("span.group", group), h("a", { href, "aria-current": here && "page" }, icon(path), name)];
}

/** Where the browser stands, at the top of every page. */
function status() {
  const element = h("div.status", { role: "status" });
  const show = () => {
    const [dot, label, mark] = STATES[state()];
    fill(element, badge(dot, label), mark && h("strong.mark", mark),
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
  return `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4.5" cy="4.5" r="4" fill="${colour}"/></svg>`)}`;
}

function frame(page, main) {
  if (page.bare) return h("div.bare", h("header", h("a", { href: "/", class: "name" }, "Syncropel"), status()), main);
  return h("div.frame",
    h("header.rail",
      h("div.who", h("a", { href: "/", class: "name" }, location.host), status()),
      h("nav", { "aria-label": "Pages" }, PLACES.map(link))),
    main);
}

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
};

/** The page of the address, and what stands in its path. */
function pageHere() {
  for (const page of PAGES) {
    const parts = page.path.exec(location.pathname)?.slice(1).map((part) => part && decoded(part));
    if (parts && !parts.includes(null)) return [page, parts];
  }
  return [{ title: "Not found", show: lost, bare: true }, []];
}

/** Shows the page of the address. */
async function show() {
  leave?.abort();
  const mine = leave = new AbortController();
  const { signal } = mine;
  shownAt = location.pathname + location.search;
  const main = h("main", { id: "main", tabindex: "-1" });
  const [page, parts] = pageHere();
  shown = page;
  title = `${page.title} · ${location.host}`;
  document.title = title;
  document.getElementById("app").replaceChildren(frame(page, main));
  // A renewal that was cut short is finished first.
  const profile = await activeProfile().then((p) => (p?.next ? settle(p.id).then(activeProfile) : p)).catch(() => null);
  if (signal.aborted) return;
  inUse = profile?.id;
  signInWith(profile?.token ?? null);
  const settled = find();
  const presence = () => profile && settled.then(() => follow(PRESENCE, () => {}, signal));
  if (!page.live) presence();
  try {
    await page.show(main, { parts, profile, signal, settled, go, presence });
  } catch (error) {
    if (signal.aborted) return;
    fill(main, h("h1", page.title), notice("plain", "This page cannot be shown now", `${error.message}.`, h("p", h("a", { href: location.href, target: "_self" }, "Try again"))));
    // What could not be read is read as soon as the instance is there again.
    if (error instanceof Unreachable) signal.addEventListener("abort", onState(() => { if (isConnected()) show(); }));
  }
}

/** Where a link within the page leads: it is to be seen, and what reads a screen goes on there. */
function land() {
  const target = document.getElementById(location.hash.slice(1)) ?? document.getElementById("main");
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
  if (location.hash) target.scrollIntoView();
  else scrollTo(0, 0);
}

function lost(main) {
  fill(main, h("h1", "Nothing is here"), h("p", "The address leads to no page of this instance."), h("p", h("a", { href: "/" }, "Home")));
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
  // To another place of the same page the browser knows the way.
  if (url.hash && url.pathname + url.search === shownAt) return;
  event.preventDefault();
  history.pushState(null, "", url.pathname + url.search + url.hash);
  show().then(land);
  announce(document.title);
});
window.addEventListener("popstate", () => { if (location.pathname + location.search !== shownAt) show(); });
// A page that is kept for the way back keeps no stream meanwhile: a browser has six connections to a host.
window.addEventListener("pagehide", () => leave?.abort());
window.addEventListener("pageshow", (event) => { if (event.persisted) show(); });
document.addEventListener("stale", () => show());
// Another tab has signed in, out or over. What is only renewed there changes nothing that is to be seen here, and what a
// link has brought is not thrown away.
onChangeElsewhere(async () => {
  const profile = await activeProfile();
  if (profile?.id === inUse && isConnected()) signInWith(profile?.token ?? null);
  else if (!shown.bare) show();
});
show();
