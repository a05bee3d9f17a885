// Hand out access, see it used, take it back.

import { announce, badge, copyButton, fill, h, identifier, notice } from "./dom.js";
import { Refused, get, post, rows } from "./api.js";
import { follow } from "./live.js";
import { keepProfile } from "./store.js";
import { successorOf, tokenId } from "./secrets.js";
import { DOTS, NAMES, grants, level, person } from "./words.js";
import { left, when } from "./time.js";

const TTLS = [["15 minutes", 900], ["1 hour", 3600], ["24 hours", 86400], ["7 days", 604800]];
const LEVELS = [["reader", "reader: look"], ["contributor", "contributor: look and write"], ["admin", "admin: everything"]];

export async function devices(main, { profile, signal, presence }) {
  const renewal = h("section", { class: "strip" });
  const work = h("div", { class: "stack" }, h("p", { "aria-busy": "true" }, "Looking…"));
  fill(main, h("h1", null, "Devices"), renewal, work);
  if (!profile) return fill(work, notice("plain", "Pair required", "This browser has no token for this instance.", h("p", null, h("a", { href: "/" }, "Home says how to get one"))));
  renew(renewal, profile);
  try {
    const invites = await rows("/v1/invites");
    operator(work, invites, signal);
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    fill(work, own(profile), missing(refused));
    presence();
  }
}

/** The strip on top: this browser's own token, and how to make it last. */
function renew(place, profile) {
  const error = h("span", { class: "error", role: "alert" });
  const button = h("button", { type: "button", onclick: slide }, "Renew device");
  const until = h("span", null, profile.expiresAt ? ["This browser’s token ends ", when(profile.expiresAt)] : "This browser’s token has no end");
  fill(place, until, button, error);
  async function slide() {
    button.disabled = true;
    error.textContent = "";
    try {
      const successor = successorOf(profile.token);
      const renewed = await post(`/v1/tokens/${await tokenId(profile.token)}/rotate`, { new_token_id: await tokenId(successor) });
      await keepProfile({ ...profile, token: successor, expiresAt: renewed.expires_at });
      announce("Renewed");
      location.reload();
    } catch (refused) {
      error.textContent = refused.message;
      button.disabled = false;
    }
  }
}

function own(profile) {
  return h("section", null, h("h2", null, "This device"), h("div", { class: "card" },
    h("strong", null, profile.device || profile.actor), h("div", { class: "muted" }, profile.actor), h("div", null, grants(profile.scopes ?? []))));
}

function missing(refused) {
  const what = refused.code === "CONSENT_DENIED" ? "The consent grant is missing" : refused.scope ? `The scope ${refused.scope} is missing` : refused.message;
  return notice("plain", what, "The rest of this page is for operators.", refused.hint && h("p", null, refused.hint));
}

function operator(work, invites, signal) {
  const table = h("div", { class: "rows", id: "invites" });
  const activity = h("ol", { class: "timeline", id: "activity-list" });
  const paired = h("div", { class: "rows" });
  const cleaning = h("div", { class: "actions" });
  const known = new Map(invites.map((row) => [row.invite_id, row]));
  const created = h("div");
  fill(work,
    h("div", { class: "columns" },
      h("section", { class: "panel", "aria-labelledby": "pair-title" }, h("h2", { id: "pair-title" }, "Pair a device"), created),
      h("div", { class: "stack" },
        h("section", { "aria-labelledby": "invites-title" }, h("div", { class: "heading" }, h("h2", { id: "invites-title" }, "Issued invites"), cleaning), table),
        h("section", { id: "activity", "aria-labelledby": "activity-title" }, h("h2", { id: "activity-title" }, "Recent invite activity"), activity),
        h("section", { "aria-labelledby": "paired-title" }, h("h2", { id: "paired-title" }, "Paired devices"), paired))));
  const card = new Form(created, (row) => { known.set(row.invite_id, row); draw(); });
  function draw(changed) {
    const all = [...known.values()].sort((a, b) => (a.issued_at < b.issued_at ? 1 : -1));
    fill(table, all.length ? all.map((row) => inviteRow(row, changed === row.invite_id)) : h("p", { class: "muted" }, "None yet. The first one takes a minute."));
    const count = (state) => all.filter((row) => row.state === state).length;
    fill(cleaning, cleanUp("expired", "Clean up expired", count("expired")), cleanUp("exhausted", "Clean up used-up", count("exhausted")));
    const held = all.flatMap((row) => row.redemptions.map((one) => ({ ...one, label: row.device_label })));
    fill(paired, held.length ? held.map(deviceRow) : h("p", { class: "muted" }, "No device has been paired by an invite."));
    card.update(known);
  }
  draw();
  feed(activity);
  follow("/v1/invites/stream", {
    event(name, data) {
      if (name !== "invite.updated") return;
      const before = known.get(data.invite.invite_id);
      known.set(data.invite.invite_id, data.invite);
      if (JSON.stringify(before) === JSON.stringify(data.invite)) return;
      draw(before && data.invite.invite_id);
      if (before && before.state !== data.invite.state) announce(`${data.invite.device_label ?? "An invite"} is now ${NAMES[data.invite.state]}`);
      feed(activity);
    },
  }, signal);
}

function inviteRow(row, glows) {
  const used = `${row.max_uses - row.uses_remaining} of ${row.max_uses}`;
  const seen = row.redemptions.map((one) => one.last_seen).filter(Boolean).sort().at(-1);
  const cell = (name, ...value) => h("div", { class: "cell" }, h("span", { class: "label" }, name), h("span", null, ...value));
  return h("article", { class: `row${glows ? " glows" : ""}`, "data-invite": row.invite_id, "data-state": row.state },
    h("div", { class: "row-head" }, h("strong", null, row.device_label ?? "Without a label"), badge(DOTS[row.state], NAMES[row.state])),
    row.notes && h("p", { class: "muted notes" }, row.notes),
    h("div", { class: "cells" },
      cell("Access", level(row.scopes), row.scope_target.kind !== "instance" && ` · ${row.scope_target.thread_id ?? row.scope_target.namespace}`),
      cell("Uses", used), cell("Expires", when(row.expires_at)), cell("Last seen", when(seen))),
    ["active", "redeemed", "exhausted"].includes(row.state) && revoke(row));
}

const sessions = (n) => (n === 1 ? "1 session" : `${n} sessions`);

/** Asks where it stands, not in a window of its own. */
function revoke(row) {
  const live = row.redemptions.filter((one) => one.live).length;
  const place = h("div", { class: "actions" });
  const error = h("span", { class: "error", role: "alert" });
  const ask = h("button", { type: "button", class: "quiet danger", "aria-label": `Revoke ${row.device_label ?? row.invite_id}`, onclick: sure }, "Revoke");
  fill(place, ask, error);
  function sure() {
    const ends = live === 1 ? "1 session ends now." : `${live} sessions end now.`;
    const yes = h("button", { type: "button", class: "danger", onclick: go }, "Revoke");
    const no = h("button", { type: "button", class: "quiet", onclick: () => { fill(place, ask, error); ask.focus(); } }, "Keep");
    fill(place, h("span", null, `Revoke access? ${live ? ends : "The link stops working."}`), yes, no, error);
    place.onkeydown = (event) => { if (event.key === "Escape") no.click(); };
    yes.focus();
  }
  async function go() {
    try {
      const done = await post(`/v1/invites/${row.invite_id}/revoke`, {});
      announce(`Revoked. ${sessions(done.bearers_revoked)} ended.`);
    } catch (refused) {
      error.textContent = refused.message;
    }
  }
  return place;
}

function cleanUp(filter, name, count) {
  if (!count) return null;
  return h("button", { type: "button", class: "quiet", onclick: async () => announce(`${(await post("/v1/invites/bulk-revoke", { filter })).revoked_count} closed`) }, name);
}

function deviceRow(one) {
  return h("article", { class: "row" },
    h("div", { class: "row-head" }, h("strong", null, one.holder_label ?? one.label ?? person(one.holder_did)), badge(one.live ? "ok" : "bad", one.live ? "Has access" : "Ended")),
    h("div", { class: "cells" },
      h("div", { class: "cell" }, h("span", { class: "label" }, "Acts as"), identifier(one.holder_did, { head: 14, tail: 6 })),
      h("div", { class: "cell" }, h("span", { class: "label" }, "Paired"), when(one.at)),
      h("div", { class: "cell" }, h("span", { class: "label" }, "Last seen"), when(one.last_seen))));
}

/** The last events of the trail, as sentences. */
async function feed(list) {
  const { data } = await get("/v1/invites/audit?limit=20");
  fill(list, data.length ? data.map((event) => h("li", null, when(event.at), " ", sentence(event))) : h("li", { class: "muted" }, "Nothing has happened yet."));
}

function sentence(event) {
  const label = event.device_label ?? event.invite_id;
  const by = person(event.by?.actor);
  const words = {
    issued: () => `${by} issued “${label}”.`,
    redeemed: () => `${event.holder_label ?? person(event.holder_did)} joined by “${label}”${event.signer_instance_did ? `, vouched for by ${person(event.signer_instance_did)}` : ""}.`,
    revoked: () => `${person(event.revoker_actor)} revoked “${label}”${event.revoker_reason ? `: ${event.revoker_reason}` : ""}; ${sessions(event.bearers_revoked)} ended.`,
    exhausted: () => `“${label}” has no use left.`,
    refused: () => `Somebody was refused “${label}”: ${String(event.refusal_reason).replaceAll("_", " ")}.`,
  }[event.event_kind];
  return words ? words() : event.event_kind;
}

/** The form that becomes the card of what it made. */
class Form {
  constructor(place, made) {
    this.place = place;
    this.made = made;
    this.shown = null;
    this.templates = [];
    this.form();
    rows("/v1/invite-templates").then((templates) => { this.templates = templates; if (!this.shown) this.form(this.values()); }, () => {});
  }

  values() {
    return this.element ? Object.fromEntries(new FormData(this.element)) : {};
  }

  form(given = {}) {
    const field = (id, label, input, hint) => h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("p", { class: "hint" }, hint));
    const select = (id, options, chosen) => h("select", { id, name: id }, options.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen) }, text)));
    this.error = h("p", { class: "error", role: "alert" });
    this.element = h("form", { class: "stack", onsubmit: (event) => this.submit(event) },
      this.templates.length && field("template", "Templates", h("select", { id: "template", onchange: (event) => this.fillIn(event.target.value) },
        h("option", { value: "" }, "Choose one…"), this.templates.map((t) => h("option", { value: t.template_id }, t.label)))),
      field("label", "Label", h("input", { id: "label", name: "label", maxlength: "128", placeholder: "My phone", value: given.label ?? "" })),
      field("level", "Access level", select("level", LEVELS, given.level ?? "contributor")),
      field("ttl", "Expires in", select("ttl", TTLS.map(([text, seconds]) => [seconds, text]), given.ttl ?? 900)),
      field("uses", "Max uses", select("uses", [[1, "1"], [5, "5"], [10, "10"]], given.uses ?? 1)),
      h("details", { open: given.advanced }, h("summary", null, "Advanced"),
        field("accept", "Accept holder types", select("accept", [["*", "guest, federated"], ["guest", "guest"], ["federated", "federated"]], given.accept ?? "*"), "Federated: somebody with an instance of their own, which vouches for them."),
        field("notes", "Notes", h("textarea", { id: "notes", name: "notes", maxlength: "280", rows: "2", value: given.notes ?? "" }), "For the list and the trail.")),
      this.error,
      h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Generate pair link"), h("button", { type: "button", class: "quiet", onclick: () => this.save() }, "Save as template")));
    fill(this.place, this.element);
  }

  fillIn(id) {
    const t = this.templates.find((one) => one.template_id === id);
    if (!t) return;
    const accept = t.accept_holder_types.length > 1 ? "*" : t.accept_holder_types[0];
    this.form({ label: t.device_label ?? "", level: level(t.scopes), ttl: t.ttl_seconds, uses: t.max_uses, accept, notes: t.notes, advanced: true });
    this.element.querySelector("#template").value = id;
    this.element.querySelector("#label").focus();
  }

  body() {
    const { label, level: preset, ttl, uses, accept, notes } = this.values();
    const body = { preset, ttl_seconds: Number(ttl), max_uses: Number(uses), accept_holder_types: [accept] };
    if (label.trim()) body.device_label = label.trim();
    if (notes.trim()) body.notes = notes.trim();
    return body;
  }

  async submit(event) {
    event.preventDefault();
    this.error.textContent = "";
    try {
      const row = await post("/v1/invites", this.body());
      this.made(row);
      this.card(row);
    } catch (refused) {
      this.fail(refused);
    }
  }

  async save() {
    const { label } = this.values();
    if (!label.trim()) { this.error.textContent = "A template is kept under its label: type one."; return this.element.querySelector("#label").focus(); }
    try {
      const saved = await post("/v1/invite-templates", { ...this.body(), label: label.trim() });
      this.templates = [...this.templates.filter((t) => t.template_id !== saved.template_id), saved];
      announce("Saved as template");
      this.form({ ...this.values() });
    } catch (refused) {
      this.fail(refused);
    }
  }

  fail(refused) {
    this.error.textContent = [refused.message, refused.hint].filter(Boolean).join(". ");
    const named = /`(device_label|label)`|the name/.test(refused.message) ? "#label" : /notes/.test(refused.message) ? "#notes" : null;
    if (named) this.element.querySelector(named).focus();
  }

  card(row) {
    this.shown = row.invite_id;
    const countdown = h("span", { class: "countdown" }, left(row.expires_at));
    const timer = setInterval(() => { if (!countdown.isConnected) clearInterval(timer); else countdown.textContent = left(row.expires_at) || "over"; }, 1000);
    this.waiting = h("p", { class: "waiting", role: "status" }, "Waiting for the device…");
    const link = h("input", { readonly: true, value: row.redirect_url, "aria-label": "Pair link", onclick: (event) => event.target.select() });
    fill(this.place, h("div", { class: "result stack" },
      h("img", { class: "qr", alt: "QR code of the pair link", src: `data:image/svg+xml,${encodeURIComponent(row.qr_svg)}`, width: "264", height: "264" }),
      h("div", { class: "copy" }, link, copyButton(row.redirect_url, "Copy link")),
      h("p", null, grants(row.scopes, row.scope_target), row.max_uses > 1 ? `, for up to ${row.max_uses} devices.` : "."),
      h("p", { class: "muted" }, "Good for another ", countdown),
      row.warnings.map((text) => notice("warn", null, text)),
      this.waiting,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => { this.shown = null; this.form(); } }, "Pair another"))));
  }

  /** Who has joined by the invite on the card, as the rows say. */
  update(known) {
    const row = this.shown && known.get(this.shown);
    if (!row?.redemptions.length || !this.waiting) return;
    const last = row.redemptions.at(-1);
    fill(this.waiting, `${last.holder_label ?? person(last.holder_did)} joined `, when(last.at));
  }
}
