/**
 * The line at the top: the hops of the call as stations, with each hop's live figures.
 *
 * @module
 */

import { byId, duration, setText } from "./dom.js";

/** @typedef {import("./activity.js").Activity} Activity */

/** Which way sound travels, for each activity. @type {Partial<Record<Activity, string>>} */
const FLOW = { connecting: "joining", reconnecting: "joining", stalled: "joining", hearing: "up", thinking: "thinking", speaking: "down", listening: "open" };

/** The hop behind Perhop, by the agent's model, when the server says which it is. */
const MODEL_HOPS = {
  local: { transport: "in process", model: "built-in model" },
  echo: { transport: "in process", model: "echo" },
  remote: { transport: "WebSocket", model: "Realtime model" },
  direct: { transport: "media direct, events by WebSocket", model: "Realtime model" },
};

/** Shows where the call goes and how well. */
export class Line {
  constructor() {
    this.root = byId("line");
    setText(byId("line-host"), location.host);
  }

  /** @param {{title: string, model?: string, route?: string}} agent */
  route(agent) {
    const name = agent.route === "direct" ? "direct" : (agent.model ?? "local");
    const hop = MODEL_HOPS[/** @type {keyof typeof MODEL_HOPS} */ (name)] ?? MODEL_HOPS.remote;
    setText(byId("line-agent"), agent.title);
    setText(byId("line-transport"), hop.transport);
    setText(byId("line-model"), hop.model);
  }

  /** @param {Activity} activity */
  flow(activity) {
    const flow = FLOW[activity] ?? "none";
    if (this.root.dataset.flow !== flow) this.root.dataset.flow = flow;
  }

  /**
   * Shows figures; those left out stay, null means not known.
   *
   * @param {Partial<import("./stats.js").Figures> & Record<string, number | null>} figures
   */
  show(figures) {
    const { packets_lost: lost, packets_received: received, ...times } = figures;
    for (const [name, value] of Object.entries(times)) this.#set(name, value === null ? "–" : shortTime(value));
    if (lost !== undefined) this.#set("packets_lost", lost === null ? "–" : loss(lost, received ?? 0));
  }

  /** No call: no figures. */
  clear() {
    for (const figure of this.root.querySelectorAll("[data-figure]")) setText(figure, "–");
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #set(name, text) {
    const figure = this.root.querySelector(`[data-figure="${name}"]`);
    if (figure) setText(figure, text);
  }
}

/** Small times keep a decimal: on a good network they are all there is to see. @param {number} ms */
function shortTime(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : duration(ms);
}

/**
 * @param {number} lost packets
 * @param {number} received packets
 */
function loss(lost, received) {
  const share = (100 * lost) / Math.max(1, lost + received);
  return lost <= 0 ? "0" : `${lost} (${share < 1 ? share.toFixed(1) : Math.round(share)} %)`;
}
