/**
 * The conversation on the page: one stop on the line for every turn, with tool calls as branches.
 *
 * @module
 */

import { clock, duration, el, setText, spokenName } from "./dom.js";
import { parse, valueView } from "./value_view.js";

/** @typedef {import("./conversation.js").Entry} Entry */

/** Shows entries in a list, in order, and keeps the newest in sight while the reader is at the end. */
export class ConversationView {
  /**
   * @param {HTMLElement} list the `<ol>`
   * @param {HTMLElement} scroller what scrolls
   * @param {HTMLElement} announcer a polite live region: whole turns are said there once, not letter by letter
   */
  constructor(list, scroller, announcer) {
    this.list = list;
    this.scroller = scroller;
    this.announcer = announcer;
    this.agentTitle = "Agent";
    this.startedAt = 0;
    /** @type {Map<string, {row: HTMLLIElement, update: (entry: Entry) => void}>} */
    this.rows = new Map();
    /** @type {Set<string>} */
    this.announced = new Set();
  }

  /**
   * A new call.
   *
   * @param {string} agentTitle
   * @param {number} now ms
   */
  reset(agentTitle, now) {
    this.agentTitle = agentTitle;
    this.startedAt = now;
    this.rows.clear();
    this.announced.clear();
    this.list.replaceChildren();
  }

  /**
   * @param {Entry[]} changed
   * @param {Entry[]} all in order
   */
  show(changed, all) {
    if (changed.length === 0) return;
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < 80;
    for (const entry of changed) {
      const known = this.rows.get(entry.id) ?? this.#insert(entry, all);
      known.row.dataset.status = entry.status;
      known.update(entry);
      this.#announce(entry);
    }
    while (this.list.childElementCount > all.length) this.#removeOldest();
    if (atEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /**
   * @param {Entry} entry
   * @param {Entry[]} all
   */
  #insert(entry, all) {
    const made = entry.kind === "tool" ? toolRow() : this.#turnRow(entry);
    made.row.classList.add("entry", `entry--${entry.kind}`);
    made.row.dataset.id = entry.id;
    this.rows.set(entry.id, made);
    const next = all.slice(all.indexOf(entry) + 1).find((other) => this.rows.get(other.id)?.row.isConnected);
    this.list.insertBefore(made.row, (next && this.rows.get(next.id)?.row) ?? null);
    return made;
  }

  #removeOldest() {
    const row = /** @type {HTMLElement | null} */ (this.list.firstElementChild);
    this.rows.delete(row?.dataset.id ?? "");
    row?.remove();
  }

  /** @param {Entry} entry */
  #turnRow(entry) {
    const text = el("p", { class: "entry__text" });
    const note = el("span", { class: "entry__note" });
    const row = el("li", {}, text);
    if (entry.kind !== "notice") {
      const who = el("span", { class: "entry__who" }, entry.kind === "caller" ? "You" : this.agentTitle);
      row.prepend(el("p", { class: "entry__head" }, who, el("span", {}, clock(entry.at - this.startedAt)), note));
    }
    return { row, update: (/** @type {Entry} */ changed) => updateTurn(changed, text, note) };
  }

  /** @param {Entry} entry */
  #announce(entry) {
    if (entry.status === "live" || this.announced.has(entry.id) || !entry.text) return;
    this.announced.add(entry.id);
    const who = { caller: "You", agent: this.agentTitle, tool: "Tool", notice: "Notice" }[entry.kind];
    this.announcer.append(el("p", {}, `${who}: ${entry.text}${entry.status === "interrupted" ? " (interrupted)" : ""}`));
    while (this.announcer.childElementCount > 8) this.announcer.firstElementChild?.remove();
  }
}

/**
 * @param {Entry} entry
 * @param {HTMLElement} text
 * @param {HTMLElement} note
 */
function updateTurn(entry, text, note) {
  if (entry.kind === "agent" && entry.status === "interrupted") {
    const cut = el("span", { class: "entry__cut", "aria-hidden": "true" });
    const unheard = entry.text.slice(entry.heardChars).trim();
    text.replaceChildren(entry.text.slice(0, entry.heardChars), cut);
    // The space keeps the words apart for who copies them, and for screen readers.
    if (unheard) text.append(" ", el("s", { class: "entry__unheard" }, unheard));
    const after = entry.heardMs === null ? "" : entry.heardMs > 0 ? ` after ${duration(entry.heardMs)}` : " before it was heard";
    setText(note, `interrupted${after}`);
    return;
  }
  if (entry.kind === "caller") {
    setText(note, entry.typed ? "typed" : "");
    text.classList.toggle("entry__text--empty", !entry.text && entry.status !== "live");
    setText(text, entry.text || (entry.status === "live" ? "" : "Nothing was understood"));
    return;
  }
  setText(text, entry.text);
}

/** A tool call: name and state, then arguments, then the result, then both as JSON for who wants it exactly. */
function toolRow() {
  const title = el("span", { class: "tool__title" });
  const name = el("code", { class: "tool__name" });
  const state = el("span", { class: "tool__state" });
  const given = el("div", { class: "tool__given" });
  const result = el("div", { class: "tool__result" });
  const raw = el("pre", { tabindex: "0", "aria-label": "Arguments and result as JSON" });
  const details = el("details", { class: "tool__raw" }, el("summary", {}, "JSON"), raw);
  const head = el("p", { class: "tool__head" }, title, name, state);
  const row = el("li", {}, el("div", { class: "tool" }, head, given, result, details));
  /** @type {string} what is shown now, so that a table someone reads is not rebuilt under them */
  let shown = "";

  /** @param {Entry} entry */
  function update(entry) {
    const { tool } = entry;
    if (!tool) return;
    setText(title, spokenName(tool.name || "tool"));
    setText(name, tool.name);
    setText(state, toolState(entry));
    const complete = tool.startedAt !== null;
    const now = JSON.stringify([tool.arguments, tool.output, complete]);
    if (now === shown) return;
    shown = now;
    given.replaceChildren(complete ? valueView(parse(tool.arguments || "{}")) : el("code", {}, tool.arguments));
    result.replaceChildren(tool.output === null ? "" : valueView(withoutEnvelope(parse(tool.output))));
    result.hidden = tool.output === null;
    raw.textContent = [pretty(tool.arguments), tool.output === null ? "" : pretty(tool.output)].filter(Boolean).join("\n\n");
  }
  return { row, update };
}

/** @param {Entry} entry */
function toolState({ tool, status }) {
  if (!tool || tool.output === null) return status === "failed" ? "stopped" : "running";
  const took = tool.startedAt !== null && tool.endedAt !== null ? duration(tool.endedAt - tool.startedAt) : "";
  return status === "failed" ? `failed, ${took}` : took;
}

/** What an error says, without the object around it; any other value as it is. @param {any} value */
function withoutEnvelope(value) {
  return value?.error?.message ?? value?.error ?? value;
}

/** @param {string} text */
function pretty(text) {
  const value = parse(text);
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
