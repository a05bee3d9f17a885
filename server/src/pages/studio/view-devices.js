// Hand out access, see it used, take it back.

import { announce, badge, fill, h, hinted, notice } from "./dom.js";
import { Refused, del, get, post, rows } from "./api.js";
import { asking } from "./form.js";
import { follow } from "./live.js";
import { keepProfile } from "./store.js";
import { successorOf, tokenId } from "./secrets.js";
import { PairingForm } from "./pairing-form.js";
import { Table, revocation } from "./table.js";
import { DOTS, capital, grants, level, person } from "./words.js";
import { when } from "./time.js";

export async function devices(main, { profile, signal, presence }) {
  const renewal = h("section", { class: "strip", "aria-label": "This browser’s token" });
  const work = h("div", { class: "stack" });
  fill(main, h("h1", null, "Devices"), profile && renewal, work);
  if (!profile) return fill(work, notice("plain", "Pair required", "This browser has no token for this instance.", h("p", null, h("a", { href: "/" }, "Home says how to get one"))));
  renew(renewal, profile);
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
function renew(place, profile) {
  const until = h("span", null, profile.expiresAt ? ["This browser’s token ends ", when(profile.expiresAt)] : "This browser’s token has no end");
  fill(place, until, asking("Renew device", null, async () => {
    const successor = successorOf(profile.token);
    const renewed = await post(`/v1/tokens/${await tokenId(profile.token)}/rotate`, { new_token_id: await tokenId(successor) });
    await keepProfile({ ...profile, token: successor, expiresAt: renewed.expires_at });
    announce("Renewed");
    location.reload();
  }));
}

function own(profile) {
  return h("section", null, h("h2", null, "This device"), h("div", { class: "card" },
    h("strong", null, profile.device || profile.actor), h("div", { class: "muted" }, profile.actor), h("div", null, grants(profile.scopes ?? []))));
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
  const activity = h("ol", { class: "timeline", id: "activity-list", "aria-busy": "true" });
  const cleaning = h("div", { class: "actions" });
  const made = h("div");
  const section = (id, title, content, beside) => h("section", { "aria-labelledby": `${id}-title`, id }, h("div", { class: "heading" }, h("h2", { id: `${id}-title` }, title), beside), content);
  fill(work, h("div", { class: "columns" },
    h("section", { class: "panel", "aria-labelledby": "pair-title" }, h("h2", { id: "pair-title" }, "Pair a device"), made),
    h("div", { class: "stack" },
      section("invites", "Issued invites", invites.element, cleaning),
      section("activity", "Recent invite activity", activity),
      section("paired", "Paired devices", paired.element))));
  const form = new PairingForm(made, (row) => { known.set(row.invite_id, row); draw(row.invite_id); });
  function draw(changed) {
    const all = [...known.values()].sort((a, b) => (a.issued_at < b.issued_at ? 1 : -1));
    invites.set(all.map((row) => ({ id: row.invite_id, ...row })), changed);
    const count = (state) => all.filter((row) => row.state === state).length;
    fill(cleaning, cleanUp("expired", "Clean up expired", count("expired")), cleanUp("exhausted", "Clean up used-up", count("exhausted")));
    form.update(known);
  }
  const issued = async () => {
    for (const row of await rows("/v1/invites")) known.set(row.invite_id, row);
    draw();
  };
  const accounts = async () => paired.set(inUse(await rows("/v1/service-accounts?limit=500")));
  await issued();
  await Promise.all([feed(activity), accounts()]);
  if (signal.aborted) return;
  follow("/v1/invites/stream", (name, { invite: row }) => {
    if (name !== "invite.updated") return;
    const before = known.get(row.invite_id);
    known.set(row.invite_id, row);
    if (JSON.stringify(before) === JSON.stringify(row)) return;
    draw(before && row.invite_id);
    if (before && before.state !== row.state) announce(`${row.device_label ?? "An invite"} is now ${capital(row.state)}`);
    feed(activity);
  }, signal);
  // An account that ends ends what came by an invite too, without a word on the invite's own thread.
  follow("/v1/threads/th_service_accounts/watch", (name) => { if (name === "record.created") Promise.all([accounts(), issued()]).catch(() => {}); }, signal);
}

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
      [h("strong", null, row.device_label ?? "Without a label"), h("div", { class: "muted" }, level(row.scopes), target), row.notes && h("div", { class: "muted notes" }, row.notes)],
      badge(DOTS[row.state], capital(row.state)), `${row.max_uses - row.uses_remaining} of ${row.max_uses}`, when(row.expires_at), when(seen),
      ["active", "redeemed", "exhausted"].includes(row.state) && takeBack(),
    ],
  };
}

function cleanUp(filter, name, count) {
  if (!count) return null;
  return h("button", { type: "button", class: "quiet", onclick: async () => announce(`${(await post("/v1/invites/bulk-revoke", { filter })).revoked_count} closed`) }, name);
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
      [h("strong", null, one.name), isOwn && h("div", { class: "muted" }, "this browser")],
      one.actors.length ? h("span", { title: one.actors.join("\n") }, one.actors.map(person).slice(0, 3).join(", ")) : "nobody",
      level(one.scopes), when(one.created_at), isOwn ? "now" : when(one.last_used_at),
      revocation(one.name, question, async () => `Revoked. ${sessions((await del(`/v1/service-accounts/${one.id}`)).tokens_revoked)} ended.`),
    ],
  };
}

/** The last events of the trail, as sentences. */
async function feed(list) {
  const { data } = await get("/v1/invites/audit?limit=20");
  list.removeAttribute("aria-busy");
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
