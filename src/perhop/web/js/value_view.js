/**
 * JSON for people: arguments and results of tools as labelled values and small tables.
 *
 * @module
 */

import { el, spokenName } from "./dom.js";

/** Rows and columns of a table that are shown; the rest is counted, and is in the JSON below it. */
const MAX_ROWS = 5;
const MAX_COLUMNS = 6;

/** A text from this length on gets a line of its own. */
const LONG_TEXT = 48;

/**
 * @param {string} text JSON, or any text
 * @returns {unknown} its value; the text itself when it is not JSON
 */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * @param {unknown} value
 * @returns {HTMLElement}
 */
export function valueView(value) {
  if (Array.isArray(value) && value.length > 0 && value.every(isFlat)) return table(value);
  if (Array.isArray(value)) return el("p", { class: "value" }, value.length ? value.map(scalar).join(", ") : "nothing");
  if (isRecord(value)) return fields(value);
  return el("p", { class: "value" }, scalar(value));
}

/** @param {Record<string, unknown>} record */
function fields(record) {
  const list = el("dl", { class: "fields" });
  for (const [name, value] of Object.entries(record)) {
    const nested = typeof value === "object" && value !== null;
    const long = typeof value === "string" && value.length >= LONG_TEXT;
    const kind = nested ? "fields__wide" : long ? "fields__wide fields__long" : "";
    const shown = nested ? valueView(value) : scalar(value);
    list.append(el("div", { class: kind }, el("dt", {}, spokenName(name)), el("dd", {}, shown)));
  }
  return list;
}

/** @param {Record<string, unknown>[]} rows */
function table(rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].slice(0, MAX_COLUMNS);
  const head = el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, spokenName(name))));
  const cell = (/** @type {string} */ text) => el("td", { title: text }, text);
  const body = rows.slice(0, MAX_ROWS).map((row) => el("tr", {}, ...columns.map((name) => cell(scalar(row[name])))));
  const view = el("div", { class: "rows", tabindex: "0", role: "group", "aria-label": "Result, as a table" });
  view.append(el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
  if (rows.length > MAX_ROWS) view.append(el("p", { class: "rows__more" }, `and ${rows.length - MAX_ROWS} more`));
  return view;
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {unknown} value @returns {value is Record<string, unknown>} an object of plain values (lists of them count) */
function isFlat(value) {
  return isRecord(value) && Object.values(value).every((field) => !isRecord(field));
}

/** @param {unknown} value @returns {string} */
function scalar(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return value.toLocaleString("en", { maximumFractionDigits: 4, useGrouping: value >= 10_000 });
  if (Array.isArray(value)) return value.map(scalar).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
