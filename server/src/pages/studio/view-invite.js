// What somebody with a link sees: whose it is, what it gives, one button.

import { fill, h, identifier } from "./dom.js";
import { Unreachable, get, post } from "./api.js";
import { toPayload } from "./bytes.js";
import { newPublicKey } from "./secrets.js";
import { grants } from "./words.js";
import { when } from "./time.js";
import { dead } from "./view-landing.js";

export async function invite(main, { parts: [id] }) {
  const sig = new URLSearchParams(location.search).get("sig");
  fill(main, h("h1", null, "An invite"), h("p", { "aria-busy": "true" }, "Looking at it…"));
  let preview;
  try {
    preview = await get(`/v1/invites/${encodeURIComponent(id)}${sig ? `?sig=${encodeURIComponent(sig)}` : ""}`, { as: null });
  } catch (error) {
    return dead(main, ...wrong(error));
  }
  if (preview.state !== "active") return dead(main, ...over(preview.state));
  show(main, preview, sig);
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

function show(main, preview, sig) {
  const guest = preview.accept_holder_types.includes("guest");
  const federated = preview.accept_holder_types.includes("federated");
  fill(main,
    h("h1", null, preview.device_label ?? "You are invited"),
    h("p", { class: "origin" }, location.origin),
    h("dl", { class: "facts" },
      h("div", null, h("dt", null, "You get"), h("dd", null, grants(preview.scopes, preview.scope_target))),
      h("div", null, h("dt", null, "Use it"), h("dd", null, "until ", when(preview.expires_at))),
      h("div", null, h("dt", null, "Issued by"), h("dd", null, identifier(preview.issuer_did, { head: 18 })))),
    guest && asGuest(preview, sig),
    federated && asFederated(preview, !guest),
    h("p", { class: "hint" }, "This browser keeps a token for this address, and nothing else. Leave at any time: Home, then Forget. Whoever sent the link can end it."));
}

function asGuest(preview, sig) {
  const error = h("p", { class: "error", role: "alert" });
  const label = h("input", { id: "holder-label", maxlength: "128", value: deviceName(), autocomplete: "off" });
  const button = h("button", { type: "submit", class: "primary" }, "Pair with this instance");
  return h("form", { class: "stack", onsubmit: redeem }, h("div", { class: "field" }, h("label", { for: "holder-label" }, "Name of this device"), label), error, button);
  async function redeem(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      const body = { holder_type: "guest", holder_pubkey: await newPublicKey(), sig };
      if (label.value.trim()) body.holder_label = label.value.trim();
      const got = await post(`/v1/invites/${encodeURIComponent(preview.invite_id)}/redeem`, body, { as: null });
      // The link of the invite is not kept in the history either.
      location.replace(`/pair/complete#${toPayload({ url: location.origin, token: got.bearer, device: body.holder_label ?? got.actor_did })}`);
    } catch (refused) {
      error.textContent = [refused.message, refused.hint].filter(Boolean).join(". ");
      button.disabled = false;
    }
  }
}

function asFederated(preview, alone) {
  const error = h("p", { class: "error", role: "alert" });
  const address = h("input", { id: "home-url", inputmode: "url", autocomplete: "url", placeholder: "https://bob.example.net" });
  const form = h("form", { class: "stack", onsubmit: leave }, h("div", { class: "field" }, h("label", { for: "home-url" }, "Address of your own instance"), address), error, h("button", { type: "submit", class: alone && "primary" }, "Sign in using which identity?"));
  return h("section", { class: "stack" }, h("h2", null, alone ? "Sign in with your own instance" : "Or with your own instance"), form);
  function leave(event) {
    event.preventDefault();
    let home;
    try {
      home = new URL(address.value.includes("://") ? address.value : `https://${address.value}`);
      if (!/^https?:$/.test(home.protocol) || home.host.includes("%")) throw new Error();
    } catch {
      error.textContent = "That is no address: it looks like https://bob.example.net";
      return address.focus();
    }
    const ask = {
      invite_id: preview.invite_id, invite_url: location.href, audience: preview.issuer_did,
      issuer_url: location.origin, scopes: preview.scopes, expires_at: preview.expires_at,
    };
    location.assign(`${home.origin}/pair/federated#${toPayload(ask)}`);
  }
}

function deviceName() {
  const agent = navigator.userAgent;
  const device = [["iPhone", /iPhone/], ["iPad", /iPad/], ["Android phone", /Android.*Mobile/], ["Android tablet", /Android/], ["Mac", /Macintosh/], ["Windows PC", /Windows/], ["Linux PC", /Linux/]].find(([, pattern]) => pattern.test(agent));
  return device ? device[0] : "";
}
