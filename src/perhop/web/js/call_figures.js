/**
 * Figures of calls in words.
 *
 * @module
 */

/** @typedef {import("./calls_api.js").StoredCall} StoredCall */

/** @type {Record<string, [tone: "plain" | "note" | "bad", words: string]>} */
const ENDS = {
  caller_hangup: ["plain", "Caller hung up"],
  caller_lost: ["bad", "Caller lost"],
  caller_never_connected: ["bad", "Never connected"],
  caller_abuse: ["bad", "Refused"],
  model_closed: ["bad", "Model gone"],
  model_failed: ["bad", "Model failed"],
  api_hangup: ["plain", "Hung up by API"],
  tool_hangup: ["plain", "Agent hung up"],
  limit_reached: ["note", "Limit reached"],
  session_expired: ["note", "Time was up"],
  shutdown: ["note", "Server stopped"],
  crashed: ["bad", "Server crashed"],
};

const TRANSPORTS = { webrtc: "WebRTC", websocket: "WebSocket", sip: "SIP", media_streams: "Phone", whip: "WHIP" };

const KINDS = {
  input_text: "Text heard",
  input_audio: "Audio heard",
  input_image: "Images seen",
  cached_text: "Text, cached",
  cached_audio: "Audio, cached",
  cached_image: "Images, cached",
  output_text: "Text said",
  output_audio: "Audio said",
  transcription: "Transcription",
};

/** How a call ended. @param {StoredCall} call */
export function ending(call) {
  if (!call.ended_at) return { tone: "live", words: "Live" };
  const [tone, words] = ENDS[call.end_reason ?? ""] ?? ["plain", plainWords(call.end_reason ?? "Ended")];
  return { tone, words };
}

/** @param {string} name */
function plainWords(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @param {string} transport */
export function transportName(transport) {
  return TRANSPORTS[/** @type {keyof typeof TRANSPORTS} */ (transport)] ?? transport;
}

/** @param {string} kind of tokens */
export function kindName(kind) {
  return KINDS[/** @type {keyof typeof KINDS} */ (kind)] ?? plainWords(kind);
}

/** All tokens of a call. @param {StoredCall} call */
export function allTokens(call) {
  return Object.values(call.tokens).reduce((sum, count) => sum + count, 0);
}

/** Share of packets that were lost, 0 to 1; null where packets are not counted. @param {StoredCall} call */
export function lossOf(call) {
  if (!call.packets_received) return null;
  const lost = Math.max(0, call.packets_lost ?? 0);
  return lost / (lost + call.packets_received);
}

/**
 * How the caller's hop was: losses are heard from about one in a hundred on, a round trip from about 200 ms on.
 *
 * @param {StoredCall} call
 * @returns {"good" | "fair" | "poor" | "unknown"}
 */
export function gradeOf(call) {
  const loss = lossOf(call);
  if (loss === null && call.rtt_ms === null) return "unknown";
  if ((loss ?? 0) > 0.05 || (call.rtt_ms ?? 0) > 400) return "poor";
  return (loss ?? 0) > 0.01 || (call.rtt_ms ?? 0) > 200 ? "fair" : "good";
}

/** `1:02:07`, `2:07`. @param {number} seconds */
export function length(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, index) => (index ? String(part).padStart(2, "0") : String(part))).join(":");
}

/** `3 h 20 min`, `12 min`, `40 s`. @param {number} seconds */
export function talkTime(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `950`, `12.4k`, `1.2M`. @param {number} number */
export function count(number) {
  if (number < 10_000) return String(number);
  const [unit, sign] = number < 1e6 ? [1e3, "k"] : [1e6, "M"];
  return `${(number / Number(unit)).toFixed(1)}${sign}`;
}

/**
 * An amount of money: as exact as it is small.
 *
 * @param {string} amount
 * @param {string} currency
 * @param {boolean} priced
 */
export function money(amount, currency, priced) {
  const value = Number(amount);
  if (value === 0) return priced ? "–" : "no price";
  const digits = value >= 1 ? 2 : value >= 0.01 ? 3 : 5;
  const format = new Intl.NumberFormat("en", {
    style: "currency",
    currency,
    minimumFractionDigits: Math.min(digits, 3),
    maximumFractionDigits: digits,
  });
  return `${priced ? "" : "> "}${format.format(value)}`;
}

/** @param {Date} date */
export function timeOfDay(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

/** `Today`, `Yesterday`, `Monday 2 March`. @param {Date} date @param {Date} now */
export function dayName(date, now) {
  const days = Math.round((startOfDay(now) - startOfDay(date)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });
}

/** @param {Date} date */
function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
