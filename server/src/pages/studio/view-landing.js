// Where links end: `/local/pair#…` and `/pair/complete#…`. What they carry is taken out of the address first, then
// looked at.

import { announce, command, fill, h, notice } from "./dom.js";
import { Refused, Unreachable, get, post } from "./api.js";
import { originOf, parseObject, parsePayload, toPayload } from "./bytes.js";
import { asking } from "./form.js";
import { keepProfile, profiles } from "./store.js";
import { TOKEN, isSecure, successorOf, tokenId } from "./secrets.js";

/** Follows a link, payload or token that was pasted or scanned. Says what is wrong with it, or nothing. Another
 * instance is opened after a click that shows its origin, which takes the place of the page. */
export function open(text, main) {
  const pair = (payload) => { location.assign(`/local/pair#${payload}`); };
  if (TOKEN.test(text)) return pair(toPayload({ url: location.origin, token: text, device: "This browser" }));
  if (parsePayload(text)) return pair(text);
  // What `spl pair --no-qr` prints.
  const json = parseObject(text);
  if (json?.token) return pair(toPayload(json));
  const url = originOf(text) && new URL(text);
  if (!url || !/^\/(i\/|local\/pair$|pair)/.test(url.pathname)) return "That is no pairing link, payload or token. Copy all of it again.";
  const rest = url.pathname + url.search + url.hash;
  if (url.origin === location.origin) location.assign(rest);
  else elsewhere(main, url.origin, rest);
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

/** Asks before another instance is opened. */
export function elsewhere(main, origin, rest) {
  const button = h("button", { type: "button", class: "primary", onclick: () => location.assign(origin + rest) }, `Open ${origin}`);
  fill(main, h("h1", null, "This is for another instance"), h("p", { class: "origin" }, origin),
    h("p", null, "The link leads to the instance at that address. Open it there only if you know it."), button);
  button.focus();
}

/** Checks a token, puts a fresh one in its place, keeps that. */
async function take(main, payload, go) {
  let identity;
  try {
    identity = await get("/v1/identity", { as: payload.token });
  } catch (error) {
    if (error instanceof Unreachable) return dead(main, "The instance does not answer", "Start it, then open the link again.", "spl serve --daemon");
    if (error.status === 429) return dead(main, "Too many requests", "Wait a minute, then open the link again.");
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
async function redeemForeign(main, payload, go) {
  const { invite_id: id, ...body } = payload;
  const others = await profiles();
  const [button, error] = asking("Pair with this instance", { class: "primary" }, async () => {
    const got = await post(`/v1/invites/${encodeURIComponent(id)}/redeem`, body, { as: null });
    await keepProfile({ id: got.service_account_id, token: got.bearer, device: got.actor_did, actor: got.actor_did, scopes: got.scopes, expiresAt: got.expires_at });
    go("/local/tasks");
  });
  fill(main, h("h1", null, "Sign in here as"), h("p", { class: "origin" }, String(body.holder_did ?? "")),
    h("p", null, "Your own instance has signed that this is you. It is good for a minute."),
    others.length > 0 && h("p", { class: "hint" }, "This browser is signed in here as ", h("strong", null, others[0].actor), " too. Both are kept; Home switches between them."), error, button);
  button.focus();
}

export function dead(main, title, text, what) {
  fill(main, h("h1", null, title), h("p", null, text), what && command(what), h("p", null, h("a", { href: "/" }, "Home")));
}
