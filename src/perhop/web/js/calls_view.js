/**
 * The table of calls and the bars of days.
 *
 * @module
 */

import {
  allTokens,
  count,
  dayName,
  ending,
  gradeOf,
  kindName,
  length,
  lossOf,
  money,
  talkTime,
  timeOfDay,
  transportName,
} from "./call_figures.js";
import { byId, el, setText } from "./dom.js";

/** @typedef {import("./calls_api.js").StoredCall} StoredCall */
/** @typedef {import("./calls_api.js").DayTotal} DayTotal */

const COLUMNS = 8;
const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {Record<string, string | number>} attributes @param {...Element} children */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Rows that are kept when nothing about their call has changed, so that focus and what is open stay. */
export class CallTable {
  /** @param {HTMLElement} body */
  constructor(body) {
    this._body = body;
    /** @type {Map<string, {signature: string, row: HTMLElement, details: HTMLElement}>} */
    this._known = new Map();
    /** @type {Set<string>} */
    this._open = new Set();
  }

  /** @param {StoredCall[]} calls newest first @param {string} currency @param {Date} now */
  show(calls, currency, now) {
    /** @type {HTMLElement[]} */
    const rows = [];
    let day = "";
    for (const call of calls) {
      const today = dayName(new Date(call.started_at), now);
      if (today !== day) {
        day = today;
        rows.push(el("tr", { class: "calls__day" }, el("td", { colspan: String(COLUMNS) }, day)));
      }
      const { row, details } = this._rows(call, currency);
      rows.push(row, details);
    }
    const shown = new Set(calls.map((call) => call.id));
    for (const id of this._known.keys()) if (!shown.has(id)) this._known.delete(id);
    place(this._body, rows);
    this.tick(now);
  }

  /** Live calls grow longer by themselves. @param {Date} now */
  tick(now) {
    for (const cell of this._body.querySelectorAll("[data-since]")) {
      const since = Date.parse(/** @type {HTMLElement} */ (cell).dataset.since ?? "");
      setText(cell, length((now.getTime() - since) / 1000));
    }
  }

  /** @param {StoredCall} call @param {string} currency */
  _rows(call, currency) {
    const signature = JSON.stringify([call, currency]);
    const known = this._known.get(call.id);
    if (known?.signature === signature) return known;
    const hadFocus = known?.row.contains(document.activeElement) ?? false;
    const made = { signature, ...this._make(call, currency) };
    this._known.set(call.id, made);
    if (hadFocus) queueMicrotask(() => made.row.querySelector("button")?.focus());
    return made;
  }

  /** @param {StoredCall} call @param {string} currency */
  _make(call, currency) {
    const began = new Date(call.started_at);
    const end = ending(call);
    const open = this._open.has(call.id);
    const opener = el(
      "button",
      { type: "button", class: "opener", "aria-expanded": String(open), "aria-controls": `d-${call.id}` },
      timeOfDay(began),
    );
    const agent = call.agent ? el("span", { class: "who" }, call.agent) : el("span", { class: "who who--none" }, "no agent");
    const seconds = end.tone === "live" ? el("span", { "data-since": call.started_at }) : length(call.duration_s);
    const row = el(
      "tr",
      { class: open ? "call call--open" : "call", "data-state": end.tone },
      el("td", {}, opener),
      el("td", {}, agent),
      el("td", { class: "calls__hop" }, hop(call)),
      el("td", { class: "calls__end" }, el("span", { class: "end", "data-tone": end.tone, title: end.words }, el("span", { class: "end__word" }, end.words))),
      el("td", { class: "number" }, seconds),
      el("td", { class: "number calls__turns" }, String(call.turns)),
      el("td", { class: "number calls__tokens" }, count(allTokens(call))),
      el("td", { class: "number" }, money(call.cost, currency, call.priced)),
    );
    const details = el(
      "tr",
      { class: "details", id: `d-${call.id}`, hidden: !open },
      el("td", { colspan: String(COLUMNS) }, facts(call, end.words)),
    );
    row.addEventListener("click", () => {
      if (getSelection()?.toString()) return;
      const opened = details.hidden;
      details.hidden = !opened;
      row.classList.toggle("call--open", opened);
      opener.setAttribute("aria-expanded", String(opened));
      if (opened) this._open.add(call.id);
      else this._open.delete(call.id);
    });
    return { row, details };
  }
}

/** Puts rows in this order. One that stays is not moved: it would lose the focus. @param {HTMLElement} body @param {HTMLElement[]} rows */
function place(body, rows) {
  const wanted = new Set(rows);
  for (const row of [...body.children]) if (!wanted.has(/** @type {HTMLElement} */ (row))) row.remove();
  rows.forEach((row, index) => {
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
}

/** @param {StoredCall} call */
function hop(call) {
  const loss = lossOf(call);
  const grade = gradeOf(call);
  const figures = [
    call.rtt_ms === null ? null : `${Math.round(call.rtt_ms)} ms`,
    loss === null ? null : `${(loss * 100).toFixed(loss < 0.1 ? 1 : 0)} % lost`,
  ].filter(Boolean);
  const track = svg(
    "svg",
    { viewBox: "0 0 46 12", class: "via__track", "aria-hidden": "true" },
    svg("line", { x1: 6, y1: 6, x2: 40, y2: 6 }),
    svg("circle", { cx: 5, cy: 6, r: 3.6 }),
    svg("circle", { cx: 41, cy: 6, r: 3.6 }),
  );
  const words = grade === "unknown" ? "not measured" : `${grade}: ${figures.join(", ")}`;
  return el(
    "span",
    { class: "via", "data-grade": grade, title: words },
    el("span", { class: "via__name" }, transportName(call.transport)),
    track,
    el("span", { class: "hidden" }, words),
    el("span", { class: "via__figures", "aria-hidden": "true" }, figures.join(" · ")),
  );
}

/** @param {StoredCall} call @param {string} end */
function facts(call, end) {
  /** @type {[string, string, boolean?][]} */
  const all = [
    ["Call", call.id, true],
    ["End", end],
    ["Model", call.model],
    ["API key", call.key ?? "none"],
    ["Tenant", call.tenant],
    ["Interruptions", String(call.interruptions)],
    ["Tools run", String(call.tool_calls)],
    ["Model sessions renewed", String(call.renewals)],
    ["Reconnects", String(call.reconnects)],
  ];
  if (call.jitter_ms !== null) all.push(["Jitter", `${call.jitter_ms.toFixed(1)} ms`]);
  if (call.packets_received) all.push(["Packets lost", `${call.packets_lost ?? 0} of ${call.packets_received + (call.packets_lost ?? 0)}`]);
  for (const [kind, tokens] of Object.entries(call.tokens)) all.push([kindName(kind), `${tokens} tokens`]);
  if (call.transcription_s) all.push(["Transcribed", `${call.transcription_s.toFixed(1)} s`]);
  if (!call.priced) all.push(["Cost", "incomplete: a model has no price"]);
  return el(
    "dl",
    { class: "facts" },
    ...all.map(([name, value, wide]) => el("div", { class: wide ? "facts__wide" : "" }, el("dt", {}, name), el("dd", {}, value))),
  );
}

/**
 * Today's sums and a bar for each of the last 14 days.
 *
 * @param {DayTotal[]} days
 * @param {string} currency
 * @param {Date} now
 */
export function showDays(days, currency, now) {
  const byDay = new Map(days.map((total) => [total.day, total]));
  const names = Array.from({ length: 14 }, (_, index) => {
    const date = new Date(now.getTime() - (13 - index) * 86_400_000);
    return date.toISOString().slice(0, 10);
  });
  const most = Math.max(1, ...names.map((name) => byDay.get(name)?.calls ?? 0));
  const bars = names.map((name, index) => bar(name, byDay.get(name), most, currency, index === 13));
  const holder = byId("bars");
  const signature = JSON.stringify([names, days, currency]);
  if (holder.dataset.shown !== signature) {
    holder.dataset.shown = signature;
    holder.replaceChildren(...bars);
  }
  const today = byDay.get(names[13] ?? "");
  setText(byId("sum-calls"), String(today?.calls ?? 0));
  setText(byId("sum-time"), talkTime(today?.seconds ?? 0));
  setText(byId("sum-tokens"), count(today?.tokens ?? 0));
  setText(byId("sum-cost"), money(today?.cost ?? "0", currency, today?.priced ?? true));
}

/** @param {string} name @param {DayTotal | undefined} total @param {number} most @param {string} currency @param {boolean} today */
function bar(name, total, most, currency, today) {
  const date = new Date(`${name}T12:00:00Z`);
  const title = date.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });
  const calls = total?.calls ?? 0;
  const lines = total
    ? [`${calls} ${calls === 1 ? "call" : "calls"}, ${talkTime(total.seconds)}`, `${count(total.tokens)} tokens, ${costWords(total, currency)}`]
    : ["No calls"];
  const height = calls ? Math.max(6, (100 * calls) / most) : 3;
  const column = svg(
    "svg",
    { class: "bar__column", viewBox: "0 0 26 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: calls ? "bar__calls" : "bar__none", x: 0, y: 100 - height, width: 26, height }),
  );
  return el(
    "li",
    { class: today ? "bar bar--today" : "bar", tabindex: "0", "aria-label": `${title}: ${lines.join(", ")}` },
    column,
    el("span", { class: "bar__day", "aria-hidden": "true" }, String(date.getUTCDate())),
    el("span", { class: "bar__note", "aria-hidden": "true" }, el("b", {}, title), ...lines.flatMap((line, index) => (index ? [el("br"), line] : [line]))),
  );
}

/** @param {DayTotal} total @param {string} currency */
function costWords(total, currency) {
  const words = money(total.cost, currency, total.priced);
  return words === "–" ? "no cost" : words;
}
