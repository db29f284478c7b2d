/**
 * Perhop's own API of calls, as far as the page of calls needs it.
 *
 * @module
 */

/**
 * @typedef {object} StoredCall
 * @property {string} id
 * @property {string} tenant
 * @property {string | null} key
 * @property {string | null} agent
 * @property {string} model
 * @property {string} transport
 * @property {string} started_at
 * @property {string | null} ended_at null while it goes on
 * @property {string | null} end_reason
 * @property {number} duration_s as it was written down last
 * @property {number} turns
 * @property {number} interruptions
 * @property {number} tool_calls
 * @property {number} renewals
 * @property {number} reconnects
 * @property {Record<string, number>} tokens by kind
 * @property {number} transcription_s
 * @property {string} cost an exact decimal
 * @property {boolean} priced false when some usage had no price
 * @property {number | null} rtt_ms
 * @property {number | null} jitter_ms
 * @property {number | null} packets_received
 * @property {number | null} packets_lost
 *
 * @typedef {{day: string, calls: number, seconds: number, tokens: number, cost: string, priced: boolean}} DayTotal
 */

const KEY = "perhop.key";

/** The server wants an API key, or another one. */
export class KeyNeeded extends Error {}

/** Remembers a key for as long as this tab lives. @param {string} key */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Whether a key was given. */
export function hasKey() {
  return Boolean(sessionStorage.getItem(KEY));
}

/**
 * @param {string} path
 * @param {Record<string, string>} [query] empty values are left out
 * @returns {Promise<any>}
 * @throws {KeyNeeded} without the right key
 * @throws {Error} when the server is away or refuses; the message is for people
 */
async function get(path, query = {}) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  const key = sessionStorage.getItem(KEY);
  const headers = { accept: "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(`${path}?${asked}`, { headers }).catch(() => {
    throw new Error("The server does not answer.");
  });
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const message = body?.error?.message ?? `The server answered ${response.status}.`;
  throw response.status === 401 || response.status === 403 ? new KeyNeeded(message) : new Error(message);
}

/**
 * A page of calls, newest first.
 *
 * @param {Record<string, string>} query
 * @returns {Promise<{calls: StoredCall[], after: string | null}>}
 */
export function getCalls(query) {
  return get("/api/calls/history", query);
}

/**
 * Totals of days, newest first.
 *
 * @param {Record<string, string>} query
 * @returns {Promise<{currency: string, days: DayTotal[]}>}
 */
export function getDays(query) {
  return get("/api/calls/history/days", query);
}
