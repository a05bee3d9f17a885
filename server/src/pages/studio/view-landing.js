// Where links end: `/local/pair#…` and `/pair/complete#…`. What they carry is taken out of the address first, then
// looked at.

import { announce, fill, h, notice } from "./dom.js";
import { Refused, Unreachable, get, post } from "./api.js";
import { fromBase64url, parsePayload, toPayload } from "./bytes.js";
import { keepProfile, profiles } from "./store.js";
import { isSecure, successorOf, tokenId } from "./secrets.js";

const TOKEN = /^spl_[a-z0-9]{1,16}_(sa_[0-9a-hjkmnp-tv-z]{16}|sa-bootstrap-env)_[\x21-\x7e]{32,256}$/;

/** Follows a pasted link, payload or token. Says what is wrong with it, or nothing. */
export function open(text) {
  if (TOKEN.test(text)) {
    location.assign(`/local/pair#${toPayload({ url: location.origin, token: text, device: "This browser" })}`);
    return null;
  }
  if (fromBase64url(text) && parsePayload(text)) { location.assign(`/local/pair#${text}`); return null; }
  try {
    const json = JSON.parse(text);
    if (json.token) { location.assign(`/local/pair#${toPayload(json)}`); return null; }
  } catch {
    // No JSON: perhaps a link.
  }
  try {
    const url = new URL(text);
    if (/^https?:$/.test(url.protocol) && /^\/(i\/|local\/pair$|pair)/.test(url.pathname)) {
      location.assign(url.origin === location.origin ? url.pathname + url.search + url.hash : url.href);
      return null;
    }
  } catch {
    // No link either.
  }
  return "That is no pairing link, payload or token. Copy all of it again.";
}

export async function landing(main, { go }) {
  const fragment = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  fill(main, h("h1", null, "Pairing this browser"), h("p", { "aria-busy": "true" }, "Checking what the link carries…"));
  const payload = fragment ? parsePayload(fragment) : null;
  if (!payload) return dead(main, "The link is incomplete", "Nothing that could pair this browser is in it. Open the whole link again, or ask for a new one.");
  if (typeof payload.invite_id === "string") return redeemForeign(main, payload, go);
  if (typeof payload.token !== "string" || !TOKEN.test(payload.token) || typeof payload.url !== "string") {
    return dead(main, "The link is malformed", "It carries no token as this instance makes them. Ask for a new one.");
  }
  const origin = originOf(payload.url);
  if (!origin) return dead(main, "The link is malformed", "It names no address of an instance. Ask for a new one.");
  if (origin !== location.origin) return elsewhere(main, origin, `/local/pair#${fragment}`);
  await take(main, payload, go);
}

function originOf(text) {
  try {
    const url = new URL(text);
    return /^https?:$/.test(url.protocol) ? url.origin : null;
  } catch {
    return null;
  }
}

function elsewhere(main, origin, rest) {
  fill(main, h("h1", null, "This is for another instance"), h("p", { class: "origin" }, origin),
    h("p", null, "The link pairs this browser with the instance at that address. Open it there only if you know it."),
    h("button", { type: "button", class: "primary", onclick: () => location.assign(origin + rest) }, `Open ${origin}`));
}

/** Checks a token, puts a fresh one in its place, keeps that. */
async function take(main, payload, go) {
  let identity;
  try {
    identity = await get("/v1/identity", { as: payload.token });
  } catch (error) {
    if (error instanceof Unreachable) return dead(main, "The instance does not answer", "Start it, then open the link again.", "spl serve --daemon");
    return dead(main, "The link is of no use any more", "Its token was used, revoked, or has expired. Make another one where you are signed in.", "spl pair --device browser-chrome");
  }
  const id = identity.caller.service_account_id;
  const others = (await profiles()).filter((p) => p.id !== id);
  const keep = () => store(main, payload, identity.caller, go);
  if (!others.length) return keep();
  fill(main, h("h1", null, "Another profile is here"),
    h("p", null, "This browser is signed in as ", h("strong", null, others[0].actor), ". The link signs it in as ", h("strong", null, identity.caller.actor), "."),
    h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: keep }, "Add this profile"), h("a", { class: "button", href: "/" }, "Keep things as they are")));
}

async function store(main, payload, caller, go) {
  // What was printed, scanned or kept in a history is dead once this is done.
  const successor = successorOf(payload.token);
  const profile = (token, expiresAt) => ({ id: caller.service_account_id, token, device: payload.device, actor: caller.actor, scopes: caller.scopes, expiresAt });
  await keepProfile(profile(payload.token, caller.expires_at));
  try {
    const renewed = await post(`/v1/tokens/${await tokenId(payload.token)}/rotate`, { new_token_id: await tokenId(successor) }, { as: payload.token });
    await keepProfile(profile(successor, renewed.expires_at));
  } catch (error) {
    if (!(error instanceof Refused)) await settle(profile, payload.token, successor);
  }
  announce("This browser is paired");
  if (isSecure()) return go("/local/tasks");
  fill(main, h("h1", null, "Paired"), notice("warn", "Kept unencrypted", "This page is plain http, where browsers offer no encryption. Serve the instance over https, or use a private network only."),
    h("a", { class: "button primary", href: "/local/tasks" }, "Go on"));
}

/** The answer of a renewal was lost: whichever of the two tokens is let in is kept. */
async function settle(profile, before, successor) {
  const live = await get("/v1/identity", { as: successor }).then((i) => i.caller, () => null);
  if (live) await keepProfile(profile(successor, live.expires_at));
  else await keepProfile(profile(before, null));
}

/** What a home instance has signed, redeemed here after a click. */
function redeemForeign(main, payload, go) {
  const { invite_id: id, ...body } = payload;
  const error = h("p", { class: "error", role: "alert" });
  const button = h("button", { type: "button", class: "primary", onclick: redeem }, "Pair with this instance");
  fill(main, h("h1", null, "Sign in here as"), h("p", { class: "origin" }, String(body.holder_did ?? "")),
    h("p", { class: "hint" }, "Your own instance has signed that this is you. It is good for a minute."), error, button);
  async function redeem() {
    button.disabled = true;
    try {
      const got = await post(`/v1/invites/${encodeURIComponent(id)}/redeem`, body, { as: null });
      await keepProfile({ id: got.service_account_id, token: got.bearer, device: got.actor_did, actor: got.actor_did, scopes: got.scopes, expiresAt: got.expires_at });
      go("/local/tasks");
    } catch (refused) {
      error.textContent = [refused.message, refused.hint].filter(Boolean).join(". ");
      button.disabled = false;
    }
  }
}

export function dead(main, title, text, what) {
  fill(main, h("h1", null, title), h("p", null, text), what && h("p", { class: "command" }, h("code", null, what)), h("p", null, h("a", { href: "/" }, "Home")));
}
