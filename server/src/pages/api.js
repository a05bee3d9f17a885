// Shows /openapi.json. Everything from the document enters the page as text.

const METHODS = ["get", "post", "put", "patch", "delete"];
const main = document.getElementById("main");
const nav = document.getElementById("nav");
const find = document.getElementById("find");
const toc = document.getElementById("toc");

/** The document; operations as {id, path, method, op, node, link, words}; what inline code may point to. */
let doc;
let operations = [];
const targets = new Map();

// --- building blocks

/** An element. A string for `props` is its class; strings among the children are text. */
function el(tag, props, ...children) {
  const node = document.createElement(tag);
  if (typeof props === "string") node.className = props;
  else for (const [name, value] of Object.entries(props ?? {})) if (value != null) node.setAttribute(name, value);
  node.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return node;
}

/** Something that folds; `build` makes its content when it is first opened. */
function fold(props, label, build, open = false) {
  const node = el("details", props, el("summary", null, label));
  let built = false;
  const fill = () => {
    if (!built) node.append(build());
    built = true;
  };
  if (open) fill();
  node.open = open;
  node.fill = fill;
  node.addEventListener("toggle", () => node.open && fill());
  return node;
}

/** Text with `code` and **bold**; code that names an operation or an error code becomes a link to it. */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (/^`.+`$/.test(part)) {
      const code = part.slice(1, -1);
      const target = targets.get(code) ?? targets.get(code.replace(/^\d{3} /, ""));
      return target ? el("a", { href: `#${target}` }, el("code", null, code)) : el("code", null, code);
    }
    return /^\*\*.+\*\*$/.test(part) ? el("strong", null, part.slice(2, -2)) : part;
  });
}

/** Paragraphs and lists. */
function prose(text = "") {
  const blocks = text.split(/\n{2,}/).filter(Boolean);
  return el("div", "prose", blocks.map((block) =>
    block.startsWith("- ")
      ? el("ul", "bullets", block.split(/\n?^- /m).filter(Boolean).map((item) => el("li", null, inline(item))))
      : el("p", null, inline(block))));
}

function say(text) {
  document.getElementById("said").textContent = text;
}

/** A block of text to copy. */
function listing(title, text) {
  const pre = el("pre", null, el("code", null, text));
  const button = el("button", { type: "button", "aria-label": `Copy: ${title.replaceAll("`", "")}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => (button.textContent = "Copy"), 2000);
    } catch {
      // Plain http on another machine has no clipboard.
      getSelection().selectAllChildren(pre);
      say("Selected. Press Ctrl+C to copy it.");
      button.textContent = "Selected";
    }
  });
  return el("figure", null, el("figcaption", null, el("span", null, inline(title)), button), pre);
}

/** JSON with what is short on one line. */
function json(value, indent = "") {
  const all = value && typeof value === "object" ? Object.entries(value) : [];
  const list = Array.isArray(value);
  const deeper = `${indent}  `;
  const name = (key) => (list ? "" : `${JSON.stringify(key)}: `);
  const [start, end] = list ? "[]" : "{}";
  if (!all.length) return JSON.stringify(value);
  const short = all.map(([key, part]) => name(key) + json(part, deeper)).join(", ");
  if (indent.length + short.length < 72 && !short.includes("\n")) return start + short + end;
  return `${start}\n${all.map(([key, part]) => deeper + name(key) + json(part, deeper)).join(",\n")}\n${indent}${end}`;
}

const pretty = (value) => (typeof value === "string" ? value.trimEnd() : json(value));

// --- schemas

function resolve(object) {
  let found = object;
  while (found?.$ref) found = found.$ref.slice(2).split("/").reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
  return found ?? {};
}

const refName = (schema) => schema?.$ref?.split("/").pop();

/** A schema with its reference followed and its `allOf` merged; what stands beside a reference wins. */
function flat(schema) {
  const { $ref, ...own } = schema ?? {};
  const { allOf = [], ...rest } = { ...resolve(schema), ...own };
  return allOf.map(flat).reduce(
    (sum, part) => ({ ...part, ...sum, properties: { ...sum.properties, ...part.properties }, required: [...(sum.required ?? []), ...(part.required ?? [])] }),
    rest,
  );
}

const isNull = (schema) => schema.type === "null";
const variants = (schema) => schema.oneOf ?? schema.anyOf;

/** What a value is, in a word or two. */
function kind(schema) {
  const name = refName(schema);
  const real = flat(schema);
  if (name) return [el("a", { href: `#schema-${name}` }, name)];
  if (variants(real)) return variants(real).flatMap((part, i) => [i ? " or " : "", ...kind(part)]);
  if ("const" in real) return [el("code", null, JSON.stringify(real.const))];
  if (real.type === "array") return ["array of ", ...kind(real.items ?? {})];
  if (real.type === "object" && !real.properties && typeof real.additionalProperties === "object") return ["object of ", ...kind(real.additionalProperties)];
  return [[real.type ?? (real.properties ? "object" : "any")].flat().join(" or ")];
}

/** What limits a value, in words. */
function rules(schema) {
  const real = flat(schema);
  const said = [];
  const range = (low, high, unit) => {
    if (low != null && high != null) said.push(`${low} to ${high}${unit}`);
    else if (low != null) said.push(`at least ${low}${unit}`);
    else if (high != null) said.push(`at most ${high}${unit}`);
  };
  range(real.minimum, real.maximum === 2 ** 63 ? "2^63-1" : real.maximum, "");
  range(real.minLength, real.maxLength, " characters");
  range(real.minItems, real.maxItems, " elements");
  if (real.uniqueItems) said.push("no duplicates");
  const parts = [];
  if (said.length) parts.push(said.join(", "));
  if (real["x-codes"]) parts.push(["one of the ", el("a", { href: "#codes" }, "codes")]);
  else if (real.enum) parts.push(["one of ", real.enum.flatMap((value, i) => [i ? " " : "", el("code", null, String(value))])]);
  if (real.pattern) parts.push(["matches ", el("code", null, real.pattern)]);
  if (real.default !== undefined) parts.push(["default ", el("code", null, JSON.stringify(real.default))]);
  return parts.flatMap((part, i) => [i ? " · " : "", part]);
}

/** The schemas of the objects that a value is or holds. */
function holds(schema, seen) {
  if (seen.includes(refName(schema))) return [];
  const real = flat(schema);
  if (real.properties) return [schema];
  if (variants(real)) return variants(real).filter((part) => !isNull(part)).flatMap((part) => holds(part, seen));
  if (real.items) return holds(real.items, seen);
  return typeof real.additionalProperties === "object" ? holds(real.additionalProperties, seen) : [];
}

/** One row: a name and its type on the left, what is said of it on the right. */
function row(name, { id, where, must, schema, text, example, more }) {
  const limits = schema ? rules(schema) : [];
  return el("li", { id },
    el("div", null, el("code", "name", name), schema && el("span", "kind", kind(schema)), where && el("span", "muted", `in ${where}`, must && ", "), must && el("span", "must", "required")),
    el("div", null, text && prose(text), limits.length ? el("p", "rule", limits) : null,
      example !== undefined && el("p", "rule", "example ", el("code", null, typeof example === "string" ? example : JSON.stringify(example)))),
    more?.length ? el("div", "full", more) : null);
}

/** The members of an object, each with what it holds. */
function members(schema, seen = []) {
  const real = flat(schema);
  const inner = [...seen, refName(schema)].filter(Boolean);
  const rows = Object.entries(real.properties ?? {}).map(([name, part]) =>
    row(name, {
      schema: part,
      must: real.required?.includes(name),
      text: flat(part).description,
      more: holds(part, inner).map((held) =>
        fold("fold", [el("span", null, `Members of ${refName(held) ?? name}`)], () => members(held, inner), seen.length === 0 && name === "data")),
    }));
  return el("ul", "rows", rows);
}

/** A schema in full: itself, or each of the things it may be. */
function shape(schema) {
  const parts = holds(schema, []);
  if (!parts.length) {
    const real = flat(schema);
    return el("div", null, el("p", null, kind({ ...real, description: undefined })), prose(real.description), el("p", "muted", rules(schema)));
  }
  if (parts.length === 1) return members(parts[0]);
  return el("div", null, parts.map((part, i) =>
    fold("fold", [el("strong", null, refName(part) ?? "Object"), el("span", "muted", inline(flat(part).description ?? ""))], () => members(part), i === 0)));
}

/** What may be sent or answered: its shape, its events and its examples. */
function content(map = {}) {
  return Object.entries(map).map(([type, media]) => {
    const streamed = media["x-events"]?.map(({ event, id, data }) =>
      row(event, { text: [resolve(data).description, id && `Its \`id\` is ${id}.`].filter(Boolean).join(" "), more: [fold("fold", [el("span", null, "Members of its data")], () => members(data))] }));
    const shown = media["x-item-schema"] ?? media.schema;
    const named = Object.values(media.examples ?? {}).map(resolve);
    if ("example" in media) named.push({ summary: "Example", value: media.example });
    const structured = shown && (holds(shown, []).length > 0);
    return el("div", null,
      el("p", "type", el("code", null, type), media["x-item-schema"] ? ", one of these a line" : media["x-events"] ? ", these events" : ""),
      streamed ? el("ul", "rows", streamed) : structured ? shape(shown) : null,
      named.map(({ summary = "Example", value }, i) =>
        i ? fold("fold", [el("span", null, inline(`Example: ${summary}`))], () => listing(summary, pretty(value))) : listing(summary, pretty(value))));
  });
}

// --- operations

const ACCESS = {
  open: ["ok", "Open: needs no credential"],
  "any bearer": ["lock", "Needs any valid credential"],
};

function access(op) {
  const scope = op["x-scope"];
  const [dot, words] = ACCESS[scope] ?? [scope === "admin" ? "warn" : "lock", `Needs the scope ${scope}`];
  return el("span", "state", el("span", { class: `dot ${dot}`, "aria-hidden": "true" }), words);
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The request as a command for a shell. */
function curl({ path, method, op }) {
  const params = (op.parameters ?? []).map(resolve);
  const sample = (param) => [param.example ?? flat(param.schema).default ?? ""].flat();
  let url = path;
  const query = [];
  for (const param of params) {
    if (param.in === "path") url = url.replace(`{${param.name}}`, encodeURIComponent(sample(param)[0]));
    if (param.in === "query" && (param.required || op["x-curl"]?.includes(param.name))) {
      query.push(...sample(param).map((value) => `${param.name}=${encodeURIComponent(value)}`));
    }
  }
  url = location.origin + url + (query.length ? `?${query.join("&")}` : "");
  const body = Object.entries(op.requestBody?.content ?? {})[0];
  const types = Object.keys(resolve(op.responses["200"] ?? op.responses["201"]).content ?? {});
  const options = ["curl"];
  if (types.includes("text/event-stream")) options.push("-N");
  if (method !== "get" && !(method === "post" && body)) options.push(`-X ${method.toUpperCase()}`);
  const lines = [`${options.join(" ")} ${quote(url)}`];
  if ((op.security ?? doc.security).some((one) => Object.keys(one).length)) lines.push('-H "Authorization: Bearer $SPL_TOKEN"');
  if (body) {
    const [type, media] = body;
    const example = media.example ?? resolve(Object.values(media.examples ?? {})[0] ?? {}).value ?? {};
    lines.push(`-H ${quote(`Content-Type: ${type}`)}`, `-d ${quote(json(example))}`);
  }
  if (types.includes("application/vnd.spl.backup")) lines.push("-o spl.backup");
  return lines.join(" \\\n  ");
}

function part(title, ...children) {
  return el("div", null, el("h4", null, title), children);
}

/** The codes of a failure, each with its sentence. */
function refusals({ description, "x-codes": names = [] }, known) {
  const one = (name, meaning) => el("p", null, inline(`\`${name}\` ${meaning}`));
  if (names.length === 1) return one(names[0], description);
  return [el("p", null, inline(description)), names.map((name) => one(name, known.get(name)?.meaning ?? ""))];
}

/** Everything about one operation. */
function details(operation) {
  const { id, op } = operation;
  const params = (op.parameters ?? []).map(resolve);
  const responses = Object.entries(op.responses).map(([status, response]) => [status, resolve(response)]);
  const failures = responses.filter(([status]) => status >= "400" && status !== "default");
  const rest = resolve(op.responses.default);
  const code = new Map(errorCodes().map((entry) => [entry.code, entry]));
  return el("div", "inside",
    el("div", "facts", access(op), el("a", { href: `#${id}`, "aria-label": `Link to ${id}` }, el("code", null, id))),
    prose(op.description),
    listing("Request with curl", curl(operation)),
    params.length ? part("Parameters", el("ul", "rows", params.map((param) => row(param.name, {
      schema: param.schema,
      where: param.in === "path" || param.in === "query" ? `the ${param.in}` : `a ${param.in}`,
      must: param.required,
      text: param.description,
      example: param.example,
    })))) : null,
    op.requestBody ? part("Request body", op.requestBody.description && prose(op.requestBody.description), content(op.requestBody.content)) : null,
    part("Answers", responses.filter(([status]) => status < "400").map(([status, response]) =>
      el("div", "answer",
        el("p", null, el("span", "state", el("span", { class: "dot ok", "aria-hidden": "true" }), el("strong", null, status), el("span", null, inline(response.description)))),
        content(response.content)))),
    part("Failures",
      failures.length ? el("ul", "rows", failures.map(([status, response]) => el("li", null,
        el("div", null, el("span", "state", el("span", { class: "dot bad", "aria-hidden": "true" }), el("code", "name", status))),
        el("div", null, refusals(response, code))))) : null,
      rest.description && el("p", "rule muted", inline(rest.description), " See ", el("a", { href: "#errors" }, "errors"), ".")));
}

function heading({ path, method, op }) {
  return el("h3", null,
    el("span", `method ${method}`, method.toUpperCase()),
    el("code", null, path.split("/").flatMap((piece, i) => (i ? [el("wbr"), `/${piece}`] : [piece]))),
    el("span", "what", op.summary));
}

// --- the page

const errorCodes = () => doc.components.schemas.ErrorCode["x-codes"] ?? [];

function errors() {
  const sample = Object.values(doc.components.responses).find((response) => response["x-codes"]?.includes("RESERVED_THREAD"));
  const list = errorCodes().map(({ status, code, meaning, next }) =>
    el("li", { id: `code-${code}` },
      el("div", null, el("code", "name", code), el("span", "kind", String(status))),
      el("div", null, el("p", null, inline(meaning)), el("p", "rule", inline(next)))));
  return el("section", { id: "errors" },
    el("h2", null, "Errors"),
    el("p", null, resolve({ $ref: "#/components/schemas/Error" }).description),
    members({ $ref: "#/components/schemas/Error" }),
    sample && listing("A failure", pretty(sample.content["application/json"].example)),
    el("h3", { id: "codes" }, "Codes"),
    el("ul", "rows", list));
}

function build() {
  operations = Object.entries(doc.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ id: item[method].operationId, path, method, op: item[method] })));
  for (const { id, path, method } of operations) targets.set(id, id).set(`${method.toUpperCase()} ${path}`, id);
  for (const { code } of errorCodes()) targets.set(code, `code-${code}`);
  for (const operation of operations) {
    const { id, path, method, op } = operation;
    const params = (op.parameters ?? []).map((param) => resolve(param).name);
    operation.words = [id, method, path, op.summary, op.description, op["x-scope"], op.tags, params].flat().join(" ").toLowerCase();
    operation.node = fold({ class: "op", id }, heading(operation), () => details(operation));
    operation.link = el("li", null, el("a", { href: `#${id}` }, el("span", `method ${method}`, method.toUpperCase()), el("span", null, op.summary)));
  }

  const all = el("button", { type: "button" }, "Open all");
  all.addEventListener("click", () => {
    const open = all.textContent === "Open all";
    for (const { node } of operations) node.open = open;
    all.textContent = open ? "Close all" : "Open all";
  });
  const sections = doc.tags.map(({ name, description }) => {
    const own = operations.filter(({ op }) => op.tags.includes(name));
    const title = name[0].toUpperCase() + name.slice(1);
    nav.append(el("div", { "data-tag": name }, el("h2", null, el("a", { href: `#tag-${name}` }, title)), el("ul", null, own.map(({ link }) => link))));
    return el("section", { id: `tag-${name}`, "data-tag": name }, el("h2", null, title), el("p", "muted", inline(description ?? "")), own.map(({ node }) => node));
  });
  const schemas = Object.entries(doc.components.schemas).map(([name, schema]) =>
    fold({ class: "fold", id: `schema-${name}` }, [el("code", "name", name), el("span", "unseen", ": "), el("span", "muted", inline(schema.description ?? ""))], () => shape({ $ref: `#/components/schemas/${name}` })));
  nav.append(el("div", null, el("h2", null, "Reference"), el("ul", null,
    [["errors", "Errors and codes"], ["schemas", "Schemas"]].map(([id, words]) => el("li", null, el("a", { href: `#${id}`, class: "plain" }, words))))));

  main.replaceChildren(
    el("div", "top", el("h1", null, doc.info.title), el("p", "muted", `Version ${doc.info.version} · `, el("a", { href: "/openapi.json" }, "openapi.json"))),
    prose(doc.info.description),
    el("div", "tools", all),
    ...sections,
    errors(),
    el("section", { id: "schemas" }, el("h2", null, "Schemas"), schemas),
  );
  main.removeAttribute("aria-busy");
  filter();
}

/** Shows the operations that hold every word of the search. */
function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { words: text, node, link } of operations) {
    const hit = words.every((word) => text.includes(word));
    node.hidden = link.hidden = !hit;
    shown += hit;
  }
  for (const group of document.querySelectorAll("[data-tag]")) {
    group.hidden = !operations.some(({ op, node }) => op.tags.includes(group.dataset.tag) && !node.hidden);
  }
  const count = document.getElementById("count");
  if (!words.length) count.textContent = `${operations.length} operations`;
  else count.textContent = shown ? `${shown} of ${operations.length} operations` : "None. Try a path, a scope or a parameter.";
}

/** Opens and shows what the address names. */
function go() {
  const id = decodeURIComponent(location.hash.slice(1));
  for (const link of nav.querySelectorAll("a")) {
    if (link.hash === `#${id}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const node = id && document.getElementById(id);
  if (!node || node === main) return;
  if (node.closest("[hidden]")) {
    find.value = "";
    filter();
  }
  if (node.tagName === "DETAILS") node.fill?.();
  for (let at = node; at; at = at.parentElement?.closest("details")) if (at.tagName === "DETAILS") at.open = true;
  if (!wide.matches) toc.open = false;
  node.scrollIntoView();
  node.querySelector("summary")?.focus({ preventScroll: true });
  const name = operations.find((operation) => operation.id === id)?.op.summary;
  document.title = `${name ? `${name} · ` : ""}API reference · spl`;
}

const wide = matchMedia("(min-width: 900px)");
const unfold = () => (toc.open = wide.matches);
wide.addEventListener("change", unfold);
unfold();

find.addEventListener("input", filter);
find.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    find.value = "";
    filter();
  }
  const first = operations.find(({ node }) => !node.hidden);
  if (event.key === "Enter" && find.value && first) {
    if (location.hash === `#${first.id}`) go();
    else location.hash = first.id;
  }
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  find.focus();
  find.select();
});
addEventListener("hashchange", go);
// A link to where the page already is does not change the address.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a");
  if (link?.hash && link.hash === location.hash && link.pathname === location.pathname) go();
});

async function start() {
  try {
    const answer = await fetch("/openapi.json", { credentials: "omit", headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the instance answered ${answer.status}`);
    doc = await answer.json();
  } catch (error) {
    const again = el("button", { type: "button" }, "Try again");
    again.addEventListener("click", start);
    main.replaceChildren(el("div", { class: "problem", role: "alert" },
      el("p", null, el("strong", null, "The document could not be read.")),
      el("p", null, `${error.message}. Check that the instance is running, then try again.`), again));
    main.removeAttribute("aria-busy");
    return;
  }
  build();
  go();
}

start();
