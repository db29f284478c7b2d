/**
 * The page of calls: asks every two seconds while somebody looks, and shows what it is told.
 *
 * @module
 */

import { getCalls, getDays, hasKey, KeyNeeded, useKey } from "./calls_api.js";
import { CallTable, showDays } from "./calls_view.js";
import { byId, el, setText } from "./dom.js";

const EVERY_MS = 2000;
const PAGE = "50";

const table = new CallTable(byId("rows"));
const agent = /** @type {HTMLSelectElement} */ (byId("agent"));
const state = /** @type {HTMLSelectElement} */ (byId("state"));

/** @type {import("./calls_api.js").StoredCall[]} */
let newest = [];
/** @type {import("./calls_api.js").StoredCall[]} */
let older = [];
/** @type {string | null} */
let after = null;
let currency = "USD";
/** Counts filters: an answer to a question that is no longer asked is not shown. */
let question = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @returns {Record<string, string>} */
function which() {
  return { agent: agent.value, live: { live: "true", past: "false" }[state.value] ?? "" };
}

async function refresh() {
  clearTimeout(timer);
  const asked = question;
  try {
    const [page, totals] = await Promise.all([getCalls({ ...which(), limit: PAGE }), getDays({ agent: agent.value })]);
    if (asked === question) {
      // What was on the first page and no longer is has become older; it is kept if older ones are shown.
      if (older.length) {
        const there = new Set([...page.calls, ...older].map((call) => call.id));
        older = [...newest.filter((call) => !there.has(call.id)), ...older];
      } else {
        after = page.after;
      }
      newest = page.calls;
      currency = totals.currency;
      show(totals.days);
    }
    problem(null);
  } catch (error) {
    if (error instanceof KeyNeeded) return askForKey(error);
    problem(/** @type {Error} */ (error));
  }
  if (!document.hidden) timer = setTimeout(refresh, EVERY_MS);
}

/** @param {import("./calls_api.js").DayTotal[]} days */
function show(days) {
  const now = new Date();
  const fresh = new Set(newest.map((call) => call.id));
  const calls = [...newest, ...older.filter((call) => !fresh.has(call.id))];
  byId("days").hidden = byId("log").hidden = false;
  byId("entry").hidden = true;
  showDays(days, currency, now);
  table.show(calls, currency, now);
  offerAgents(calls);
  const live = calls.filter((call) => !call.ended_at).length;
  setText(byId("live"), live ? `${live} live now` : "");
  const filtered = Boolean(agent.value || state.value);
  byId("table").hidden = !calls.length;
  byId("empty").hidden = Boolean(calls.length);
  byId("empty-link").hidden = filtered;
  setText(
    byId("empty-text"),
    filtered ? "No call fits these filters." : "No calls yet. The first one appears here as soon as it begins, and stays when it is over.",
  );
  byId("more").hidden = !after;
}

/** Agents that can be chosen are those that were seen. @param {import("./calls_api.js").StoredCall[]} calls */
function offerAgents(calls) {
  const offered = new Set(Array.from(agent.options, (option) => option.value));
  for (const name of new Set(calls.map((call) => call.agent))) {
    if (name && !offered.has(name)) agent.append(el("option", { value: name }, name));
  }
}

/** @param {KeyNeeded} error */
function askForKey(error) {
  byId("days").hidden = byId("log").hidden = true;
  byId("entry").hidden = false;
  problem(hasKey() ? error : null);
  byId("key").focus();
}

/** @param {Error | null} error */
function problem(error) {
  byId("problem").hidden = !error;
  if (!error) return;
  setText(byId("problem-title"), error instanceof KeyNeeded ? "This key shows no calls" : "Calls cannot be shown right now");
  setText(byId("problem-advice"), error.message);
}

byId("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(/** @type {HTMLInputElement} */ (byId("key")).value.trim());
  refresh();
});

byId("filters").addEventListener("change", () => {
  question += 1;
  newest = older = [];
  after = null;
  refresh();
});

byId("older").addEventListener("click", async () => {
  if (!after) return;
  const asked = question;
  const page = await getCalls({ ...which(), limit: PAGE, after }).catch((error) => problem(error));
  if (!page || asked !== question) return;
  older = [...older, ...page.calls];
  after = page.after;
  await refresh();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});

setInterval(() => table.tick(new Date()), 1000);
refresh();
