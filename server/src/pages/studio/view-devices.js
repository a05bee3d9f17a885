// Hand out access, see it used, take it back.

import { announce, badge, fill, h, hinted, notice } from "./dom.js";
import { Refused, del, get, post, rows, signInWith } from "./api.js";
import { asking } from "./form.js";
import { follow } from "./live.js";
import { renew } from "./renewal.js";
import { profileOf } from "./store.js";
import { PairingForm } from "./pairing-form.js";
import { Table, revocation } from "./table.js";
import { soon } from "./view-threads.js";
import { DOTS, capital, grants, level, person } from "./words.js";
import { when } from "./time.js";

export async function devices(main, { profile, signal, presence }) {
  const renewal = h("section.strip", { "aria-label": "This browser’s token" });
  const work = h("div.stack");
  fill(main, h("h1", "Devices"), profile && renewal, work);
  if (!profile) return fill(work, notice("plain", "Pair required", "This browser has no token for this instance.", h("p", h("a", { href: "/" }, "Home says how to get one"))));
  strip(renewal, profile);
  try {
    if (!profile.scopes?.includes("admin")) {
      fill(work, own(profile));
      // Whether the account has got the scope meanwhile, the instance knows.
      await get("/v1/invites?limit=1");
    }
    await operator(work, profile, signal);
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    fill(work, own(profile), missing(refused, profile));
    presence();
  }
}

/** The strip on top: this browser's own token, and how to make it last. */
function strip(place, profile, said) {
  const until = h("span", profile.expiresAt ? ["This browser’s token ends ", when(profile.expiresAt)] : "This browser’s token has no end");
  fill(place, until, asking("Renew device", {}, async () => {
    await renew(profile.id);
    const renewed = await profileOf(profile.id);
    signInWith(renewed.token);
    announce("Renewed");
    strip(place, renewed, "Renewed.");
    place.querySelector("button").focus();
  }), said && h("span.muted", said));
}

function own(profile) {
  return h("section", h("h2", "This device"), h("div.card",
    h("strong", profile.device || profile.actor), h("div.muted", profile.actor), h("div", grants(profile.scopes ?? []))));
}

/** Which scope or grant is missing, and the command for it. */
function missing(refused, profile) {
  if (refused.code === "CONSENT_DENIED") return notice("plain", "The consent grant is missing", "The rest of this page is for operators.", hinted(refused.hint));
  if (!refused.scope) return notice("plain", refused.message, hinted(refused.hint));
  return notice("plain", `The scope ${refused.scope} is missing`, "The rest of this page is for operators. Where an operator is signed in, this makes a token with it:",
    hinted(`spl pair --device ${/^[\w.-]+$/.test(profile.device ?? "") ? profile.device : "browser-admin"} --scopes ${refused.scope}`));
}

async function operator(work, profile, signal) {
  const known = new Map();
  const invites = new Table("Issued invites", ["Device and access", "State", "Uses", "Expires", "Last seen"], "None yet. The first one takes a minute.", inviteRow);
  const paired = new Table("Paired devices", ["Device", "Acts as", "Access", "Paired", "Last seen"], "No device is paired yet.", (one) => accountRow(one, profile));
  const activity = h("ol.timeline", { id: "activity-list", "aria-busy": "true" });
  const cleaning = [cleanUp("expired", "Clean up expired"), cleanUp("exhausted", "Clean up used-up")];
  const [made, moreInvites, moreDevices] = [h("div"), h("p.hint"), h("p.hint")];
  const section = (id, title, content, beside) => h("section", { "aria-labelledby": `${id}-title`, id, tabindex: "-1" }, h("div.heading", h("h2", { id: `${id}-title` }, title), beside), content);
  const column = h("div.stack", { "aria-busy": "true" });
  fill(work, h("div.columns", h("section.panel", { "aria-labelledby": "pair-title" }, h("h2", { id: "pair-title" }, "Pair a device"), made), column));
  const form = new PairingForm(made, (row) => { known.set(row.invite_id, row); draw(row.invite_id); });
  function draw(changed) {
    const all = [...known.values()].sort((a, b) => (a.issued_at < b.issued_at ? 1 : -1));
    invites.set(all.slice(0, MOST).map((row) => ({ id: row.invite_id, ...row })), changed);
    moreInvites.textContent = rest(all.length);
    for (const one of cleaning) one.show(all.some((row) => row.state === one.state));
    form.update(known);
  }
  const accounts = async () => {
    const all = inUse(await rows("/v1/service-accounts?limit=1000", 20_000));
    paired.set(all.slice(0, MOST));
    moreDevices.textContent = rest(all.length);
  };
  const told = async () => {
    const { data } = await get("/v1/invites/audit?limit=20");
    activity.removeAttribute("aria-busy");
    fill(activity, data.length ? data.map((event) => h("li", when(event.at), " ", sentence(event))) : h("li.muted", "Nothing has happened yet."));
  };
  // The stream begins with the rows as they are: many at once are drawn once.
  let glowing = null;
  const drawSoon = soon(() => draw(glowing), 50);
  await follow("/v1/invites/stream", (name, { invite: row }) => {
    if (name !== "invite.updated") return;
    const before = known.get(row.invite_id);
    known.set(row.invite_id, row);
    if (JSON.stringify(before) === JSON.stringify(row)) return;
    glowing = before && row.invite_id;
    if (before && before.state !== row.state) announce(`${row.device_label ?? "An invite"} is now ${capital(row.state)}`);
    drawSoon();
  }, signal);
  const [tell, look] = [soon(told, 100), soon(accounts, 100)];
  await follow("/v1/events/stream?thread=th_audit_invites&thread=th_service_accounts", (name, { record }) => {
    if (name === "record.created") (record.thread === "th_audit_invites" ? tell : look)();
  }, signal);
  const issued = async () => { for (const row of (await get(`/v1/invites?limit=${MOST}`)).data) if (!known.has(row.invite_id)) known.set(row.invite_id, row); };
  await Promise.all([told(), accounts(), issued()]);
  draw();
  // All of it at once: nothing below moves when something above has come.
  column.removeAttribute("aria-busy");
  fill(column, section("invites", "Issued invites", [invites.element, moreInvites], h("div.actions", cleaning.map((one) => one.element))),
    section("activity", "Recent invite activity", activity), section("paired", "Paired devices", [paired.element, moreDevices]));
}

/** Most rows of a table: whoever has more looks for them by other means. */
const MOST = 200;
const rest = (count) => (count > MOST ? `The newest ${MOST} of ${count}. The command line lists them all.` : "");

const sessions = (n) => (n === 1 ? "1 session" : `${n} sessions`);

function inviteRow(row) {
  const target = row.scope_target.kind !== "instance" && ` · ${row.scope_target.thread_id ?? row.scope_target.namespace}`;
  const seen = row.redemptions.map((one) => one.last_seen).filter(Boolean).sort().at(-1);
  const live = row.redemptions.filter((one) => one.live).length;
  const name = row.device_label ?? row.invite_id;
  const takeBack = () => revocation(name, `Revoke access? ${live ? `${sessions(live)} end${live === 1 ? "s" : ""} now.` : "The link stops working."}`, async () => {
    const done = await post(`/v1/invites/${row.invite_id}/revoke`, {});
    return `Revoked. ${sessions(done.bearers_revoked)} ended.`;
  });
  return {
    attributes: { "data-invite": row.invite_id, "data-state": row.state },
    cells: [
      [h("strong", row.device_label ?? "Without a label"), h("div.muted", level(row.scopes), target), row.notes && h("div.muted.notes", row.notes)],
      badge(DOTS[row.state], capital(row.state)), `${row.max_uses - row.uses_remaining} of ${row.max_uses}`, when(row.expires_at), when(seen),
      ["active", "redeemed", "exhausted"].includes(row.state) && takeBack(),
    ],
  };
}

function cleanUp(state, name) {
  const element = h("span", asking(name, { class: "quiet" }, async () => announce(`${(await post("/v1/invites/bulk-revoke", { filter: state })).revoked_count} closed`)));
  return { state, element, show: (is) => { element.hidden = !is; element.firstChild.disabled = false; } };
}

/** Whoever has access now, whoever was seen last first. */
function inUse(accounts) {
  return accounts.filter((one) => one.active && one.tokens).sort((a, b) => ((a.last_used_at ?? a.created_at) < (b.last_used_at ?? b.created_at) ? 1 : -1));
}

function accountRow(one, profile) {
  const isOwn = one.id === profile.id;
  const question = `Revoke access? ${one.tokens === 1 ? "1 session ends now." : `${one.tokens} sessions end now.`}${isOwn ? " It is this browser’s own." : ""}`;
  return {
    attributes: { "data-account": one.id },
    cells: [
      [h("strong", one.name), isOwn && h("div.muted", "this browser"), one.rotated_token_presented_at && badge("bad", "An old token of it was used: stolen?")],
      one.actors.length ? h("span", { title: one.actors.join("\n") }, one.actors.map(person).slice(0, 3).join(", ")) : "nobody",
      level(one.scopes), when(one.created_at), isOwn ? "now" : when(one.last_used_at),
      revocation(one.name, question, async () => `Revoked. ${sessions((await del(`/v1/service-accounts/${one.id}`)).tokens_revoked)} ended.`),
    ],
  };
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
