// Where links end: `/local/pair#…` and `/pair/complete#…`. What they carry is taken out of the address first, then
// looked at.

import { announce, command, fill, h, notice } from "./dom.js";
import { Unreachable, get, post } from "./api.js";
import { originOf, parseObject, parsePayload, toPayload } from "./bytes.js";
import { asking } from "./form.js";
import { keepProfile, profiles } from "./store.js";
import { renew } from "./renewal.js";
import { TOKEN, isSecure } from "./secrets.js";

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
  fill(main, h("h1", "Pairing this browser"), h("p", { "aria-busy": "true" }, "Checking what the link carries…"));
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
  const button = h("button", { class: "primary", onclick: () => location.assign(origin + rest) }, `Open ${origin}`);
  fill(main, h("h1", "This is for another instance"), h("p.origin", origin),
    h("p", "The link leads to the instance at that address. Open it there only if you know it."), button);
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
  const all = await profiles();
  const others = all.filter((p) => p.id !== id);
  const keep = () => store(main, payload, identity.caller, go);
  // What was just redeemed here after a click is kept already.
  if (!others.length || all.length > others.length) return keep();
  fill(main, h("h1", "Another profile is here"),
    h("p", "This browser is signed in as ", h("strong", others[0].actor), ". The link signs it in as ", h("strong", identity.caller.actor), "."),
    h("div.actions", h("button", { class: "primary", onclick: keep }, "Add this profile"), h("a.button", { href: "/" }, "Keep things as they are")));
}

async function store(main, payload, caller, go) {
  const id = caller.service_account_id;
  let warning = null;
  await keepProfile({ id, token: payload.token, device: payload.device, actor: caller.actor, scopes: caller.scopes, expiresAt: caller.expires_at });
  try {
    // What was printed, scanned or kept in a history is dead once this is done.
    await renew(id);
  } catch (refused) {
    warning = notice("warn", "The link still works", `${refused.message}. Until its token is revoked, whoever has the link gets in.`);
  }
  announce("This browser is paired");
  if (isSecure() && !warning) return go("/local/tasks");
  fill(main, h("h1", "Paired"), warning, !isSecure() && notice("warn", "Kept unencrypted", "This page is plain http, where browsers offer no encryption. Serve the instance over https, or use a private network only."),
    h("a.button.primary", { href: "/local/tasks" }, "Go on"));
}

/** What a home instance has signed, redeemed here after a click. */
async function redeemForeign(main, payload, go) {
  const id = payload.invite_id;
  const body = { holder_type: "federated" };
  for (const name of ["holder_did", "holder_pubkey", "holder_proof", "holder_proof_issued_at_ms", "signer_instance_did", "issuer_url", "sig"]) body[name] = payload[name];
  if (typeof body.holder_did !== "string") return dead(main, "The link is malformed", "It says nobody’s name. Open the invite again.");
  const others = await profiles();
  const [button, error] = asking("Pair with this instance", { class: "primary" }, async () => {
    const got = await post(`/v1/invites/${encodeURIComponent(id)}/redeem`, body, { as: null });
    await keepProfile({ id: got.service_account_id, token: got.bearer, device: got.actor_did, actor: got.actor_did, scopes: got.scopes, expiresAt: got.expires_at });
    go("/local/tasks");
  });
  fill(main, h("h1", "Sign in here as"), h("p.origin", body.holder_did),
    h("p", "Your own instance has signed that this is you. It is good for a minute."),
    others.length > 0 && h("p.hint", "This browser is signed in here as ", h("strong", others[0].actor), " too. Both are kept; Home switches between them."), error, button);
  button.focus();
}

export function dead(main, title, text, what) {
  fill(main, h("h1", title), h("p", text), what && command(what), h("p", h("a", { href: "/" }, "Home")));
}
