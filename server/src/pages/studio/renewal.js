// A new token in the place of one's own. It is made and kept here before it is asked for: neither a lost answer nor a full
// disk loses the way in.

import { Refused, credential, get, post, signInWith } from "./api.js";
import { changeProfile, profileOf, seal } from "./store.js";
import { successorOf, tokenId } from "./secrets.js";

let underway = null;

/** Renews the token of a profile that is kept. */
export function renew(id) {
  return underway = replace(id);
}

/** Until a renewal that is underway is over: what is asked meanwhile would be asked with a token that ends. */
export const renewing = () => underway?.catch(() => {});

async function replace(id) {
  const { token } = await profileOf(id);
  const successor = successorOf(token);
  await changeProfile(id, { next: await seal(successor) });
  try {
    const { expires_at: end } = await post(`/v1/tokens/${await tokenId(token)}/rotate`, { new_token_id: await tokenId(successor) }, { as: token });
    if (credential() === token) signInWith(successor);
    await changeProfile(id, { sealed: await seal(successor), next: null, expiresAt: end });
  } catch (error) {
    if (!(error instanceof Refused)) return decide(id);
    await changeProfile(id, { next: null });
    throw error;
  }
}

/** The answer of a renewal was lost, or the page with it: whichever of the two tokens is let in is kept. */
export async function settle(id) {
  await renewing();
  await decide(id);
}

async function decide(id) {
  const { token, next } = (await profileOf(id)) ?? {};
  if (!next) return;
  const ends = (as) => get("/v1/identity", { as, quiet: true }).then(({ caller }) => ({ end: caller.expires_at }), (error) => (error.status === 401 ? null : { unknown: true }));
  const there = await ends(next);
  if (there?.unknown) return;
  if (there) await changeProfile(id, { sealed: await seal(next), next: null, expiresAt: there.end });
  else if (await ends(token)) await changeProfile(id, { next: null });
}
