/**
 * The live figures of a call: `getStats` boiled down, shown every two seconds and told to the server.
 *
 * @module
 */

/** How often the figures are read, shown and sent, in ms. */
export const STATS_EVERY_MS = 2000;

/**
 * What the browser measured. A figure that is not known (yet) is null.
 *
 * @typedef {object} Figures
 * @property {number | null} rtt_ms round trip between browser and Perhop
 * @property {number | null} jitter_ms variation of the arrival of the agent's packets
 * @property {number | null} packets_lost of the agent's audio, since the call began
 * @property {number | null} packets_received of the agent's audio, since the call began
 * @property {number | null} jitter_buffer_ms how long the agent's audio waits before it is played, lately
 * @property {number | null} audio_level of the microphone, 0…1
 * @property {number | null} packets_sent of the microphone's audio, since the call began
 * @property {number | null} concealed_ms of the agent's audio made up because it was missing, since the call began
 */

/** Totals of which the newest figures are differences. @typedef {{delay: number, count: number}} Totals */

/**
 * Reads one `RTCStatsReport`.
 *
 * @param {Map<string, any> | RTCStatsReport} report
 * @param {Totals} [before] the totals of the reading before this one; without it, means are over the whole call
 * @returns {{figures: Figures, totals: Totals}}
 */
export function readFigures(report, before = { delay: 0, count: 0 }) {
  /** @type {Record<string, any>} */
  const found = {};
  report.forEach((/** @type {any} */ entry) => {
    if (entry.type === "inbound-rtp" && entry.kind === "audio") found.inbound = entry;
    if (entry.type === "outbound-rtp" && entry.kind === "audio") found.outbound = entry;
    if (entry.type === "media-source" && entry.kind === "audio") found.source = entry;
    if (entry.type === "remote-inbound-rtp" && entry.kind === "audio") found.remote = entry;
    if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") found.pair = entry;
  });
  const { inbound, outbound, remote, pair, source } = found;
  const totals = { delay: inbound?.jitterBufferDelay ?? 0, count: inbound?.jitterBufferEmittedCount ?? 0 };
  const played = totals.count - before.count;
  return {
    totals,
    figures: {
      // The sender reports' round trip has sub-millisecond resolution; ICE's own, whole milliseconds, is there sooner.
      rtt_ms: milliseconds(remote?.roundTripTime ?? pair?.currentRoundTripTime),
      jitter_ms: milliseconds(inbound?.jitter),
      packets_lost: inbound?.packetsLost ?? null,
      packets_received: inbound?.packetsReceived ?? null,
      jitter_buffer_ms: played > 0 ? milliseconds((totals.delay - before.delay) / played) : null,
      audio_level: source?.audioLevel ?? null,
      packets_sent: outbound?.packetsSent ?? null,
      concealed_ms: inbound ? concealedMs(inbound) : null,
    },
  };
}

/** Reads the figures of one call every two seconds, until stopped. */
export class StatsReporter {
  /**
   * @param {import("./client.js").PerhopCall} call a call that is up
   * @param {(figures: Figures) => void} show called with each new reading
   * @param {() => Record<string, number | null>} extra figures measured elsewhere, sent along
   */
  constructor(call, show, extra) {
    this.call = call;
    this.show = show;
    this.extra = extra;
    /** @type {Totals | undefined} */
    this.totals = undefined;
    /** @type {number | null} the newest playout delay: while nothing plays, it stays */
    this.playout = null;
    this.timer = setInterval(() => void this.tick(), STATS_EVERY_MS);
    void this.tick();
  }

  /** One reading: shown here, then told to the server. A report that does not arrive is no reason to disturb a call. */
  async tick() {
    const report = await this.call.peer?.getStats();
    if (!report) return;
    const { figures, totals } = readFigures(report, this.totals);
    this.totals = totals;
    this.playout = figures.jitter_buffer_ms ??= this.playout;
    this.show(figures);
    if (!this.call.id) return;
    const known = Object.entries({ ...figures, ...this.extra() }).filter(([, value]) => value !== null);
    await this.call.post(`/api/calls/${this.call.id}/stats`, Object.fromEntries(known)).catch(() => null);
  }

  stop() {
    clearInterval(this.timer);
  }
}

/** @param {number | null | undefined} seconds */
function milliseconds(seconds) {
  return seconds === null || seconds === undefined ? null : Math.round(seconds * 10_000) / 10;
}

/** @param {any} inbound silence that was concealed is not counted: nobody misses it */
function concealedMs(inbound) {
  const samples = (inbound.concealedSamples ?? 0) - (inbound.silentConcealedSamples ?? 0);
  return Math.round(samples / 48);
}
