// The home side: somebody wants to sign in at another instance, and this one vouches for them after a click.

import { fill, h, notice } from "./dom.js";
import { post } from "./api.js";
import { parsePayload, toPayload } from "./bytes.js";
import { profiles } from "./store.js";
import { grants } from "./words.js";
import { when } from "./time.js";
import { dead } from "./view-landing.js";

export async function federated(main, { profile }) {
  const fragment = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  const ask = fragment ? parsePayload(fragment) : null;
  const texts = ["invite_id", "invite_url", "audience", "issuer_url"];
  if (!ask || !texts.every((name) => typeof ask[name] === "string")) {
    return dead(main, "The link is incomplete", "Open the invite’s link again, and choose your own instance there.");
  }
  const origin = originOf(ask.issuer_url);
  if (!origin || originOf(ask.invite_url) !== origin) return dead(main, "The link is malformed", "It names two different addresses, or none.");
  if (!profile) {
    return fill(main, h("h1", null, "Sign in here first"),
      h("p", null, "This browser has no token for this instance, which is to vouch for you. Pair it, then open the invite again."),
      h("p", null, h("a", { href: "/" }, "Home")));
  }
  await choose(main, ask, origin, profile);
}

function originOf(text) {
  try {
    const url = new URL(text);
    return /^https?:$/.test(url.protocol) ? url.origin : null;
  } catch {
    return null;
  }
}

async function choose(main, ask, origin, profile) {
  const error = h("p", { class: "error", role: "alert" });
  const button = h("button", { type: "button", class: "primary", onclick: sign }, `Tell ${new URL(origin).host} who I am`);
  const others = (await profiles()).filter((p) => !p.active);
  const expires = typeof ask.expires_at === "string" && !Number.isNaN(Date.parse(ask.expires_at));
  fill(main,
    h("p", { class: "lead" }, "You are about to introduce yourself to"),
    h("h1", { class: "origin" }, origin),
    h("dl", { class: "facts" },
      h("div", null, h("dt", null, "Sign in using which identity?"), h("dd", null, h("strong", null, profile.actor), others.length ? h("span", { class: "hint" }, " Another one: switch on the Home page.") : null)),
      Array.isArray(ask.scopes) && h("div", null, h("dt", null, "The link says you get"), h("dd", null, grants(ask.scopes.map(String)))),
      expires && h("div", null, h("dt", null, "The link says until"), h("dd", null, when(ask.expires_at)))),
    notice("plain", null, "Everything but the address is the link’s own claim. Your instance signs who you are for that address only, for one minute, once."),
    error, h("div", { class: "actions" }, button, h("a", { class: "button", href: "/" }, "Cancel")));

  async function sign() {
    button.disabled = true;
    try {
      const signed = await post("/v1/invites/sign-attestation", { invite_id: ask.invite_id, audience: ask.audience, issuer_url: origin });
      const names = ["holder_type", "holder_did", "holder_pubkey", "holder_proof", "holder_proof_issued_at_ms", "signer_instance_did", "issuer_url"];
      const body = Object.fromEntries(names.map((name) => [name, signed[name]]));
      const sig = new URL(ask.invite_url).searchParams.get("sig");
      location.replace(`${signed.issuer_url}/pair/complete#${toPayload({ invite_id: ask.invite_id, ...body, sig })}`);
    } catch (refused) {
      error.textContent = [refused.message, refused.hint].filter(Boolean).join(". ");
      button.disabled = false;
    }
  }
}
