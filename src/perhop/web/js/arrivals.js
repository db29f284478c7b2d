/**
 * Whether the agent's audio still arrives: browsers take some seconds to notice that a connection is gone, and until
 * then a page would go on saying that the agent speaks.
 *
 * @module
 */

/** How often the packets that arrived are counted, in ms. */
const EVERY_MS = 500;

/** None for this long while the agent speaks means that something is wrong, in ms. */
export const STALLED_AFTER_MS = 2_500;

/** Counts the packets of one call while its agent speaks, until stopped. */
export class Arrivals {
  /** @type {number | null} packets so far */
  #count = null;
  /** when there were more of them than before, in ms */
  #newest = 0;
  /** @type {ReturnType<typeof setInterval>} */
  #timer;

  /**
   * @param {() => RTCPeerConnection | null} peer the connection in use
   * @param {() => boolean} speaking whether audio is due
   * @param {(stalled: boolean) => void} tell called with every count
   */
  constructor(peer, speaking, tell) {
    this.peer = peer;
    this.speaking = speaking;
    this.tell = tell;
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #look() {
    if (!this.speaking()) {
      this.#count = null;
      this.tell(false);
      return;
    }
    const report = await this.peer()?.getStats();
    if (report) this.tell(this.stalled(received(report), performance.now()));
  }

  /**
   * @param {number} count packets that arrived so far
   * @param {number} now ms
   * @returns {boolean} whether none have for too long
   */
  stalled(count, now) {
    if (count !== this.#count) {
      this.#count = count;
      this.#newest = now;
    }
    return now - this.#newest >= STALLED_AFTER_MS;
  }
}

/** @param {RTCStatsReport} report */
function received(report) {
  let packets = 0;
  report.forEach((entry) => {
    if (entry.type === "inbound-rtp" && entry.kind === "audio") packets += entry.packetsReceived;
  });
  return packets;
}
