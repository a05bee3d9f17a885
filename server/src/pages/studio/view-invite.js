// What somebody with a link sees: whose it is, what it gives, one button.

import { fill, h, identifier } from "./dom.js";
import { Unreachable, get, post } from "./api.js";
import { originOf, toPayload } from "./bytes.js";
import { entry } from "./form.js";
import { newHolderKey } from "./secrets.js";
import { keepHolderKey } from "./store.js";
import { grants } from "./words.js";
import { until } from "./time.js";
import { dead } from "./view-landing.js";

export async function invite(main, { parts: [id] }) {
  const sig = new URLSearchParams(location.search).get("sig");
  const home = homeOf(location.hash);
  if (home) history.replaceState(null, "", location.pathname + location.search);
  fill(main, h("h1", null, "An invite"), h("p", { "aria-busy": "true" }, "Looking at it…"));
  let preview;
  try {
    preview = await get(`/v1/invites/${encodeURIComponent(id)}${sig ? `?sig=${encodeURIComponent(sig)}` : ""}`, { as: null });
  } catch (error) {
    return dead(main, ...wrong(error));
  }
  if (preview.state !== "active") return dead(main, ...over(preview.state));
  show(main, preview, sig, home);
}

/** The instance that somebody comes from, where it sent them here: a default to be looked at, nothing more. */
function homeOf(fragment) {
  try {
    return originOf(decodeURIComponent(/^#home=(.+)$/.exec(fragment)?.[1] ?? "")) ?? "";
  } catch {
    return "";
  }
}

function wrong(error) {
  if (error instanceof Unreachable) return ["The instance does not answer", "Ask whoever sent the link whether it is running, then open the link again."];
  if (error.code === "INVALID_QUERY") return ["The link was changed", "Its signature does not fit. Open the link as it was sent, or ask whoever sent it to send it again."];
  if (error.status === 429) return ["Too many requests", "Wait a minute, then open the link again."];
  return ["There is no such invite", "The link is incomplete or wrong. Copy the whole of it, or ask whoever sent it for a new one."];
}

function over(state) {
  const ask = "Ask whoever sent the link for a new one.";
  return {
    expired: ["The invite has expired", `It could be used until its time was over. ${ask}`],
    revoked: ["The invite was revoked", `Whoever sent it has taken it back. ${ask}`],
    redeemed: ["The invite was used", `It was good for one device, and one has used it. If that was not you, tell whoever sent it. ${ask}`],
    exhausted: ["The invite is used up", `All of its uses are gone. ${ask}`],
  }[state] ?? ["The invite is over", ask];
}

function show(main, preview, sig, home) {
  const guest = preview.accept_holder_types.includes("guest");
  const federated = preview.accept_holder_types.includes("federated");
  fill(main,
    h("h1", null, preview.device_label ?? "You are invited"),
    h("p", { class: "origin" }, location.origin),
    h("dl", { class: "facts" },
      h("div", null, h("dt", null, "You get"), h("dd", null, grants(preview.scopes, preview.scope_target))),
      h("div", null, h("dt", null, "The link works until"), h("dd", null, until(preview.expires_at))),
      h("div", null, h("dt", null, "Issued by"), h("dd", null, identifier(preview.issuer_did, { head: 18 })))),
    guest && asGuest(preview, sig),
    federated && asFederated(preview, !guest, home),
    h("p", { class: "hint" }, "This browser keeps a token for this address, and nothing else. Leave at any time: Home, then Forget. Whoever sent the link can end it."));
}

function asGuest(preview, sig) {
  const label = h("input", { id: "holder-label", maxlength: "128", value: deviceName(), autocomplete: "off" });
  return entry("Name of this device", label, "Pair with this instance", true, async (name) => {
    const key = await newHolderKey();
    const body = { holder_type: "guest", holder_pubkey: key.text, sig };
    if (name) body.holder_label = name;
    const got = await post(`/v1/invites/${encodeURIComponent(preview.invite_id)}/redeem`, body, { as: null });
    await keepHolderKey(got.service_account_id, key.privateKey);
    // The link of the invite is not kept in the history either.
    location.replace(`/pair/complete#${toPayload({ url: location.origin, token: got.bearer, device: name || got.actor_did })}`);
  });
}

function asFederated(preview, alone, from) {
  const address = h("input", { id: "home-url", inputmode: "url", autocomplete: "url", placeholder: "https://bob.example.net", value: from });
  const form = entry("Address of your own instance", address, "Sign in using which identity?", alone, (text) => {
    const home = originOf(text, "https://");
    if (!home) return "That is no address: it looks like https://bob.example.net";
    const ask = {
      invite_id: preview.invite_id, invite_url: location.href, audience: preview.issuer_did,
      issuer_url: location.origin, scopes: preview.scopes, expires_at: preview.expires_at,
    };
    location.assign(`${home}/pair/federated#${toPayload(ask)}`);
    return null;
  });
  return h("section", { class: "stack" }, h("h2", null, alone ? "Sign in with your own instance" : "Or with your own instance"), form);
}

function deviceName() {
  const agent = navigator.userAgent;
  const device = [["iPhone", /iPhone/], ["iPad", /iPad/], ["Android phone", /Android.*Mobile/], ["Android tablet", /Android/], ["Mac", /Macintosh/], ["Windows PC", /Windows/], ["Linux PC", /Linux/]].find(([, pattern]) => pattern.test(agent));
  return device ? device[0] : "";
}
