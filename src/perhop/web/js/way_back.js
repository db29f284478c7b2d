/**
 * Trying to get back to a call whose connection was lost: again and again, less and less often, for as long as the call
 * may be kept.
 *
 * @module
 */

import { CallError } from "./errors.js";

/** How long to try, in ms: as long as Perhop keeps a call unless told otherwise (`limits.resume_window_s`). */
export const TRY_FOR_MS = 60_000;

/** Between the first two attempts, in ms; doubles from there. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4_000;

/**
 * @param {object} how
 * @param {() => Promise<void>} how.attempt makes one; throws a CallError when it failed: `gone` when there is no such
 *   call, `call_refused` for good, `cancelled` when nobody wants it any more, anything else for now
 * @param {() => number} [how.now] ms
 * @param {(ms: number) => Promise<void>} [how.wait]
 * @returns {Promise<void>}
 * @throws {CallError} `gone`: the call is over; `lost`: it took too long, or there is no way
 */
export async function wayBack({ attempt, now = () => performance.now(), wait = untilWorthIt }) {
  const giveUpAt = now() + TRY_FOR_MS;
  for (let pause = FIRST_WAIT_MS; ; pause = Math.min(2 * pause, LONGEST_WAIT_MS)) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (error.code === "cancelled") return;
      if (error.code === "gone") throw error;
      if (error.code === "call_refused" || now() + pause >= giveUpAt) throw new CallError("lost", error.detail);
    }
    // Spread, so that all the callers of a network that was away do not come back in the same moment.
    await wait(pause * (0.5 + Math.random() / 2));
  }
}

/** Returns after so long, or at once when the browser says that there is a network again. @param {number} ms */
function untilWorthIt(ms) {
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener("online", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      addEventListener("online", done);
    })
  );
}
