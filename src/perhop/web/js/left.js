/**
 * What a page tells its next self about a call that ended because the page was left: a reload hangs up, and says so.
 *
 * @module
 */

const KEY = "perhop.left";

/** The page goes away in a call. @param {string} title of the agent */
export function leaveNote(title) {
  storage()?.setItem(KEY, title);
}

/**
 * Whose call a reload of this tab has just ended; told once.
 *
 * @returns {string | null} the agent's title
 */
export function takeNote() {
  const title = storage()?.getItem(KEY) ?? null;
  storage()?.removeItem(KEY);
  const [navigation] = performance.getEntriesByType("navigation");
  return navigation instanceof PerformanceNavigationTiming && navigation.type === "reload" ? title : null;
}

/** @returns {Storage | null} null where the browser keeps nothing for this page */
function storage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
