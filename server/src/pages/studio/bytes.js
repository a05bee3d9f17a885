// base64url and hex, strictly: no padding, one spelling for each value.

export function toBase64url(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The bytes of a text, or null where it is not base64url, or not as it would be written. */
export function fromBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    return toBase64url(bytes) === text ? bytes : null;
  } catch {
    return null;
  }
}

/** A JSON object, or null. */
export function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** An object that a fragment carries, or null. */
export function parsePayload(fragment) {
  const bytes = fromBase64url(fragment);
  if (!bytes || bytes.length > 16_384) return null;
  try {
    return parseObject(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return null;
  }
}

export function toPayload(value) {
  return toBase64url(new TextEncoder().encode(JSON.stringify(value)));
}

/** The origin of an address, or null. Of one without a scheme where `scheme` is what people leave out. */
export function originOf(text, scheme = "") {
  try {
    const url = new URL(String(text).includes("://") ? text : scheme + text);
    return /^https?:$/.test(url.protocol) && !url.host.includes("%") ? url.origin : null;
  } catch {
    return null;
  }
}

export function toHex(bytes) {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
