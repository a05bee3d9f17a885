// The form that makes an invite, and the card that it becomes: the code, the link, and who has come by it.

import { announce, copyButton, fill, h, hinted, notice } from "./dom.js";
import { post, rows } from "./api.js";
import { attempt, field } from "./form.js";
import { grants, level, person } from "./words.js";
import { left, when } from "./time.js";

const TTLS = [["15 minutes", 900], ["1 hour", 3600], ["24 hours", 86400], ["7 days", 604800]];
const LEVELS = [["reader", "reader: look"], ["contributor", "contributor: look and write"], ["admin", "admin: everything"]];
const USES = [[1, "1"], [5, "5"], [10, "10"]];
const HOLDERS = [["*", "guest, federated"], ["guest", "guest"], ["federated", "federated"]];

export class PairingForm {
  /** `made(row)` hears of each invite that was made here. */
  constructor(place, made) {
    this.place = place;
    this.made = made;
    this.shown = null;
    this.templates = [];
    this.form();
    rows("/v1/invite-templates").then((templates) => { this.templates = templates; this.listTemplates(); }, () => {});
  }

  values() {
    return Object.fromEntries(new FormData(this.element));
  }

  form(given = {}) {
    const select = (id, options, chosen) => h("select", { id, name: id }, options.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen) }, text)));
    this.error = h("p", { class: "error", role: "alert" });
    this.choice = h("select", { id: "template", onchange: (event) => this.fillIn(event.target.value) });
    this.listTemplates();
    this.element = h("form", { class: "stack", onsubmit: (event) => this.submit(event) },
      field("Templates", this.choice),
      field("Label", h("input", { id: "label", name: "label", maxlength: "128", placeholder: "My phone", autocomplete: "off", value: given.label ?? "" })),
      field("Access level", select("level", LEVELS, given.level ?? "contributor")),
      h("div", { class: "pair-of" },
        field("Expires in", select("ttl", TTLS.map(([text, seconds]) => [seconds, text]), given.ttl ?? 900)),
        field("Max uses", select("uses", USES, given.uses ?? 1))),
      h("details", { open: given.advanced }, h("summary", null, "Advanced"),
        field("Accept holder types", select("accept", HOLDERS, given.accept ?? "*"), "Federated: somebody with an instance of their own, which vouches for them."),
        field("Notes", h("textarea", { id: "notes", name: "notes", maxlength: "280", rows: "2", value: given.notes ?? "" }), "For the list and the trail.")),
      this.error,
      h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Generate pair link"), h("button", { type: "button", class: "quiet", onclick: (event) => this.save(event.target) }, "Save as template")));
    fill(this.place, this.element);
  }

  listTemplates(chosen = this.choice.value) {
    const none = this.templates.length ? "Choose one…" : "None saved yet";
    fill(this.choice, h("option", { value: "" }, none), this.templates.map((t) => h("option", { value: t.template_id, selected: t.template_id === chosen }, t.label)));
    this.choice.disabled = !this.templates.length;
  }

  fillIn(id) {
    const t = this.templates.find((one) => one.template_id === id);
    if (!t) return;
    const accept = t.accept_holder_types.length > 1 ? "*" : t.accept_holder_types[0];
    this.form({ label: t.device_label ?? "", level: level(t.scopes), ttl: t.ttl_seconds, uses: t.max_uses, accept, notes: t.notes, advanced: Boolean(t.notes) || accept !== "*" });
    this.choice.value = id;
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
    await this.tried(this.element.querySelector("[type=submit]"), async () => {
      const row = await post("/v1/invites", this.body());
      this.card(row);
      this.made(row);
    });
  }

  save(button) {
    const { label } = this.values();
    return this.tried(button, async () => {
      if (!label.trim()) return "A template is kept under its label: type one.";
      const saved = await post("/v1/invite-templates", { ...this.body(), label: label.trim() });
      // The same label replaces: its row is another one then.
      this.templates = [...this.templates.filter((t) => t.label !== saved.label), saved];
      this.listTemplates(saved.template_id);
      announce("Saved as template");
      return null;
    });
  }

  /** What is wrong is said above the buttons, and the field that it is about takes the focus. */
  async tried(button, act) {
    const wrong = await attempt(button, this.error, act);
    button.disabled = false;
    const named = /label|the name/.test(wrong) ? "#label" : /notes/.test(wrong) && "#notes";
    if (named) this.element.querySelector(named).focus();
  }

  card(row) {
    this.shown = row.invite_id;
    const countdown = h("span", { class: "countdown" }, left(row.expires_at));
    const timer = setInterval(() => { if (!countdown.isConnected) clearInterval(timer); else countdown.textContent = left(row.expires_at) || "over"; }, 1000);
    this.waiting = h("p", { class: "waiting", role: "status" }, "Waiting for the device…");
    const link = h("input", { readonly: true, value: row.redirect_url, "aria-label": "Pair link", onclick: (event) => event.target.select() });
    const devices = row.max_uses > 1 ? `, for up to ${row.max_uses} devices` : "";
    const another = h("button", { type: "button", onclick: () => { this.shown = null; this.form(); this.element.querySelector("#label").focus(); } }, "Pair another");
    fill(this.place, h("div", { class: "result" },
      h("img", { class: "qr", alt: "QR code of the pair link", src: `data:image/svg+xml,${encodeURIComponent(row.qr_svg)}`, width: "264", height: "264" }),
      h("div", { class: "stack" },
        h("p", null, h("strong", null, row.device_label ?? "Without a label"), h("br"), `${grants(row.scopes, row.scope_target)}${devices}.`),
        h("p", null, "Point the camera of the device at the code, or open the link on it:"),
        h("div", { class: "copy" }, link, copyButton(row.redirect_url, "Copy link")),
        h("p", { class: "muted" }, "Good for another ", countdown),
        this.waiting,
        row.warnings.map((text) => notice("warn", null, hinted(text))),
        h("div", { class: "actions" }, another, h("button", { type: "button", class: "quiet", onclick: () => print() }, "Print")))));
    announce("The pair link is ready");
  }

  /** Who has joined by the invite on the card, as the rows say. */
  update(known) {
    const row = this.shown && known.get(this.shown);
    if (!row || !this.waiting) return;
    const last = row.redemptions.at(-1);
    if (row.state === "revoked" && !row.redemptions.some((one) => one.live)) fill(this.waiting, "Revoked: the link opens nothing any more");
    else if (last) fill(this.waiting, `${last.holder_label ?? person(last.holder_did)} joined `, when(last.at));
  }
}
