/**
 * The agents to choose from, as cards.
 *
 * @module
 */

import { el } from "./dom.js";
import { CallError, refusal } from "./errors.js";

/**
 * @typedef {object} AgentCard
 * @property {string} name
 * @property {string} title
 * @property {string} description
 * @property {string[]} phrases what a caller may say
 * @property {string} [model] `local`, `echo`, or the name of a remote model
 * @property {string} [route] `gateway`, or `direct`: its media does not pass through Perhop
 */

/**
 * One of Perhop's own JSON answers.
 *
 * @param {string} path
 * @returns {Promise<any>}
 * @throws {CallError} when the server is away or refuses
 */
export async function getJson(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } }).catch((error) => {
    throw new CallError("unreachable", error instanceof Error ? error.message : String(error));
  });
  if (!response.ok) throw new CallError("unreachable", await refusal(response));
  return response.json();
}

/**
 * Makes a card for each agent; the first is chosen, or the one named in the address (`?agent=`).
 *
 * @param {HTMLElement} holder
 * @param {AgentCard[]} agents
 * @param {(agent: AgentCard) => void} choose called for the one that is chosen, now and later
 */
export function showAgents(holder, agents, choose) {
  const wanted = new URLSearchParams(location.search).get("agent");
  const first = agents.find((agent) => agent.name === wanted) ?? agents[0];
  const cards = agents.map((agent) => {
    const input = el("input", { type: "radio", name: "agent", value: agent.name, checked: agent === first });
    input.addEventListener("change", () => choose(agent));
    const badge = el("span", { class: "card__badge", "aria-hidden": "true" }, (agent.title || agent.name).slice(0, 1));
    const words = el("span", { class: "card__words" }, el("b", {}, agent.title || agent.name));
    if (agent.description) words.append(el("span", { class: "card__what" }, agent.description));
    return el("label", { class: "card" }, input, badge, words);
  });
  holder.replaceChildren(...cards);
  if (first) choose(first);
}

/**
 * Phrases to try; pressing one says it by text.
 *
 * @param {HTMLElement} holder
 * @param {string[]} phrases
 * @param {(phrase: string) => void} say
 */
export function showPhrases(holder, phrases, say) {
  const buttons = phrases.slice(0, 6).map((phrase) => {
    const button = el("button", { type: "button", class: "phrase" }, phrase);
    button.addEventListener("click", () => say(phrase));
    return el("li", {}, button);
  });
  holder.replaceChildren(...buttons);
}
