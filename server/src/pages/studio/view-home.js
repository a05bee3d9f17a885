// Where am I, is it there, what needs doing. On a phone without a profile: how to get in.

import { command, fill, h, identifier, notice } from "./dom.js";
import { get } from "./api.js";
import { originOf } from "./bytes.js";
import { entry } from "./form.js";
import { STATES, isConnected, onState, state } from "./connection.js";
import { activate, forget, profiles } from "./store.js";
import { when } from "./time.js";
import { person } from "./words.js";
import { scanner } from "./scan.js";

const isPhone = () => matchMedia("(max-width: 639px), (pointer: coarse)").matches;

export async function home(main, { profile, signal, settled, go }) {
  if (isPhone() && profile && location.pathname !== "/") return go("/local/tasks");
  const body = h("div.stack");
  fill(main, h("h1", "This instance"), body);
  const render = async () => {
    if (signal.aborted) return;
    // What is being typed is not thrown away.
    if (body.contains(document.activeElement) && document.activeElement.value) return;
    const next = guidance(state());
    const kept = await profiles();
    if (isPhone() && !profile && ["pair", "unreachable", "blocked"].includes(state())) {
      fill(main.querySelector("h1"), "Welcome");
      return fill(body, welcome(), next, !AGAIN[state()] && repair("Paste a pairing link"));
    }
    fill(main.querySelector("h1"), "This instance");
    const told = await facts();
    if (!signal.aborted) fill(body, next, isConnected() && h("p", h("a.button.primary", { href: "/settings/devices" }, "Pair a device")), told, kept.length > 0 && list(kept), !AGAIN[state()] && repair("Paste a pairing link"));
  };
  signal.addEventListener("abort", onState(render));
  await settled;
  await render();
}

/** Where another link is what to do. */
const AGAIN = { expired: "Re-pair", narrow: "Re-pair", pair: "Paste a pairing link" };

/** What a state means and what to do about it. */
function guidance(name) {
  const [dot, label, , ...next] = STATES[name];
  const again = AGAIN[name];
  return next.length > 0 && notice(dot, label, ...next.map((line) => (line.startsWith("spl ") ? command(line) : line)), again && repair(again, name !== "pair"));
}

/** A button in whose place the field for a new link comes. */
function repair(name, isPrimary) {
  const place = h("div");
  const open = () => { fill(place, isPhone() && scanner("Scan pairing QR"), paste()); place.querySelector("textarea").focus(); };
  return fill(place, h("button", { class: isPrimary && "primary", onclick: open }, name));
}

/** Takes a link, a payload or a token that somebody pastes. */
function paste() {
  const field = h("textarea", { id: "paste", rows: "2", autocomplete: "off", spellcheck: "false" });
  return entry("Pairing link, payload or token", field, "Use it", false, async (text) => {
    const { open } = await import("./view-landing.js");
    return open(text, document.getElementById("main"));
  });
}

async function facts() {
  let health;
  try {
    health = await get("/health", { as: null, quiet: true });
  } catch {
    return null;
  }
  const row = (name, ...value) => h("div", h("dt", name), h("dd", ...value));
  return h("dl.facts",
    row("Address", location.origin), row("Identity", identifier(health.instance_did, { head: 18 })),
    row("Records", Number(health.records).toLocaleString()), row("Version", health.version));
}

function list(kept) {
  return h("section", h("h2", "Signed in on this browser"),
    h("ul.cards", kept.map((p) => h("li.card",
      h("div", h("strong", p.device || p.actor), " ", p.active && h("span.muted", "in use")),
      h("div.muted", h("span", { title: p.actor }, person(p.actor)), " · ", (p.scopes ?? []).join(", "), " · kept ", when(p.keptAt)),
      !p.encrypted && h("p.hint", "Kept unencrypted: this page is plain http. Over https it would be encrypted."),
      h("div.actions",
        !p.active && h("button", { onclick: () => activate(p.id).then(() => location.reload()) }, "Switch to it"),
        h("button", { class: "quiet", onclick: () => forget(p.id).then(() => location.reload()), title: "The token is deleted from this browser; it is not revoked" }, "Forget"))))));
}

function welcome() {
  const address = h("input", { id: "address", inputmode: "url", autocomplete: "url", placeholder: "http://100.x.y.z:9100" });
  const form = entry("Enter instance URL", address, "Go there", false, (text) => {
    const origin = originOf(text, "http://");
    if (!origin) return "That is no address: it looks like http://100.64.0.7:9100";
    location.assign(`${origin}/local`);
    return null;
  });
  return h("section.stack",
    h("p", "This phone is not paired yet. On the computer, choose Devices, or run ", h("code", "spl pair --device browser-mobile"), "."),
    scanner("Scan pairing QR"), form,
    h("div.field", h("button", { disabled: true, "aria-describedby": "later" }, "Browse public records"), h("p.hint", { id: "later" }, "Comes in a later release.")));
}
