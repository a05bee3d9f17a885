// Tables whose rows change by themselves. A row is drawn anew only where it has changed, so that the focus, a question
// that is being asked and what is being read stay where they are.

import { announce, fill, h, icon } from "./dom.js";
import { asking } from "./form.js";

export class Table {
  /** `columns` are headings; `draw(item)` gives `{ cells, attributes }` with as many cells and one for what can be done. */
  constructor(label, columns, empty, draw) {
    this.columns = columns;
    this.draw = draw;
    this.shown = new Map();
    this.empty = h("p", { class: "muted empty" }, empty);
    this.body = h("div", { role: "rowgroup", class: "rows" });
    const heads = columns.map((name) => h("span", { role: "columnheader" }, name));
    this.table = h("div", { role: "table", class: "table", "aria-label": label },
      h("div", { role: "rowgroup", class: "heads" }, h("div", { role: "row" }, heads, h("span", { role: "columnheader" }, h("span", { class: "visually-hidden" }, "Actions")))), this.body);
    this.table.style.setProperty("--more", columns.length - 1);
    this.element = h("div", { class: "table-place", "aria-busy": "true" });
  }

  /** Shows these items, each with an `id`, in this order; the one that has just changed glows. */
  set(items, glowing) {
    this.element.removeAttribute("aria-busy");
    const shown = items.length ? this.table : this.empty;
    if (this.element.firstChild !== shown) fill(this.element, shown);
    const before = this.shown;
    this.shown = new Map(items.map((item) => {
      const text = JSON.stringify(item);
      const known = before.get(item.id);
      return [item.id, known?.text === text ? known : { text, row: this.row(item, glowing === item.id) }];
    }));
    // Whoever was on a row that is drawn anew is on it afterwards.
    const focused = [...before].find(([, { row }]) => row.contains(document.activeElement))?.[0];
    const rows = [...this.shown.values()].map(({ row }) => row);
    for (const row of [...this.body.children]) if (!rows.includes(row)) row.remove();
    rows.forEach((row, i) => { if (this.body.children[i] !== row) this.body.insertBefore(row, this.body.children[i] ?? null); });
    const row = this.shown.get(focused)?.row;
    if (row && !row.contains(document.activeElement)) (row.querySelector("button") ?? row).focus();
  }

  row(item, glows) {
    const { cells, attributes } = this.draw(item);
    const named = cells.slice(0, -1).map((cell, i) => h("div", { role: "cell", class: i ? "cell" : "cell first", "data-label": this.columns[i] }, cell));
    return h("div", { role: "row", class: `row${glows ? " glows" : ""}`, tabindex: "-1", ...attributes }, named, cells.at(-1) && h("div", { role: "cell", class: "do" }, cells.at(-1)));
  }
}

const SHIELD = "M12 3l8 3v6c0 4.5-3.2 7.6-8 9-4.8-1.4-8-4.5-8-9V6zM4 3l16 18";

/** A button that takes something back: it asks where it stands, not in a window of its own. `act` gives what to say. */
export function revocation(name, question, act) {
  const place = h("div", { class: "actions", onkeydown: (event) => { if (event.key === "Escape" && !ask.isConnected) back(); } });
  const ask = h("button", { type: "button", class: "quiet danger", "aria-label": `Revoke ${name}`, title: `Revoke ${name}`, onclick: sure }, icon(SHIELD), h("span", { class: "word" }, "Revoke"));
  const asks = (now) => place.closest(".row")?.classList.toggle("asks", now);
  function back() {
    asks(false);
    fill(place, ask).firstChild.focus();
  }
  function sure() {
    const [yes, error] = asking("Revoke", { class: "danger" }, async () => announce(await act()));
    asks(true);
    fill(place, h("span", null, question), yes, h("button", { type: "button", class: "quiet", onclick: back }, "Keep"), error);
    yes.focus();
  }
  return fill(place, ask);
}
