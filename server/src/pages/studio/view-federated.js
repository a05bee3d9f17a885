// The home side: somebody wants to sign in at another instance, and this one vouches for them after a click.

import { badge, fill, h, notice } from "./dom.js";
import { post } from "./api.js";
import { originOf, parsePayload, toPayload } from "./bytes.js";
import { profileOf, profiles } from "./store.js";
import { asking, entry } from "./form.js";
import { grants } from "./words.js";
import { until } from "./time.js";
import { dead, elsewhere } from "./view-landing.js";

export async function federated(main, { profile }) {
  const fragment = location.hash.slice(1);
  const invite = new URLSearchParams(location.search).get("invite");
  history.replaceState(null, "", location.pathname);
  if (!fragment && location.pathname === "/pair") return follow(main, invite ?? "");
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

/** The way to an invite of somebody else's, told there where to come back to. */
function follow(main, given) {
  const link = h("input", { id: "invite-link", inputmode: "url", autocomplete: "off", value: given, placeholder: "https://alice.example.com/i/inv_…" });
  fill(main, h("h1", null, "Sign in at another instance"),
    h("p", null, "Somebody has sent you an invite? This instance tells theirs who you are."),
    entry("Invite link", link, "Go on", true, (text) => {
      const url = originOf(text) && new URL(text);
      if (!url || !/^\/i\/[^/]+$/.test(url.pathname)) return "That is no invite link. Copy all of it again.";
      elsewhere(main, url.origin, `${url.pathname}${url.search}#home=${encodeURIComponent(location.origin)}`);
      return null;
    }));
}

async function choose(main, ask, origin, profile) {
  const [button, error] = asking(`Tell ${new URL(origin).host} who I am`, { class: "primary" }, sign);
  const kept = (await profiles()).sort((a, b) => b.active - a.active);
  const choice = h("fieldset", { class: "choices" }, h("legend", null, "Sign in using which identity?"),
    kept.map((p) => h("label", { class: "choice" }, h("input", { type: "radio", name: "profile", value: p.id, checked: p.id === profile.id }),
      h("span", null, h("strong", { class: "wrap" }, p.actor), h("span", { class: "muted" }, ` ${p.device ?? ""}`)), p.active && badge("ok", "in use"))));
  const expires = typeof ask.expires_at === "string" && !Number.isNaN(Date.parse(ask.expires_at));
  fill(main,
    h("p", { class: "lead" }, "You are about to introduce yourself to"),
    h("h1", { class: "origin" }, origin),
    h("dl", { class: "facts" },
      Array.isArray(ask.scopes) && h("div", null, h("dt", null, "The link says you get"), h("dd", null, grants(ask.scopes.map(String), null, "there"))),
      expires && h("div", null, h("dt", null, "The link says until"), h("dd", null, until(ask.expires_at)))),
    choice,
    notice("plain", null, "Everything but the address is the link’s own claim. Your instance signs who you are for that address only, for one minute, once."),
    error, h("div", { class: "actions" }, button, h("a", { class: "button", href: "/" }, "Cancel")));

  async function sign() {
    const chosen = await profileOf(choice.querySelector(":checked")?.value);
    if (!chosen) return "That profile cannot be used any more: pair it again.";
    const signed = await post("/v1/invites/sign-attestation", { invite_id: ask.invite_id, audience: ask.audience, issuer_url: origin }, { as: chosen.token });
    const names = ["holder_type", "holder_did", "holder_pubkey", "holder_proof", "holder_proof_issued_at_ms", "signer_instance_did", "issuer_url"];
    const body = Object.fromEntries(names.map((name) => [name, signed[name]]));
    const sig = new URL(ask.invite_url).searchParams.get("sig");
    location.replace(`${signed.issuer_url}/pair/complete#${toPayload({ invite_id: ask.invite_id, ...body, sig })}`);
    return null;
  }
}
