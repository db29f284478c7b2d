/**
 * What can go wrong with a call, each with what to do about it.
 *
 * @module
 */

/**
 * @typedef {'insecure_context' | 'microphone_denied' | 'microphone_missing' | 'microphone_busy' | 'unreachable'
 *   | 'token_refused' | 'call_refused' | 'no_webrtc' | 'ice_failed' | 'lost' | 'gone' | 'cancelled'} CallErrorCode
 */

/** @type {Record<CallErrorCode, {title: string, advice: string}>} */
const TEXTS = {
  insecure_context: {
    title: "This page may not use the microphone",
    advice: "Browsers allow it on https:// and on localhost only. Open the page at 127.0.0.1, start Perhop with --tls-cert and --tls-key, or call without a microphone and type.",
  },
  microphone_denied: {
    title: "The microphone is blocked",
    advice: "Allow the microphone for this site (the icon beside the address), then call again. Or call without a microphone and type.",
  },
  microphone_missing: {
    title: "No microphone was found",
    advice: "Plug one in and call again. Or call without a microphone and type.",
  },
  microphone_busy: {
    title: "The microphone could not be opened",
    advice: "Another program may be using it. Close that program and call again, or call without a microphone and type.",
  },
  unreachable: {
    title: "Perhop cannot be reached",
    advice: "Check that the server is running and that this page still comes from its address, then try again.",
  },
  token_refused: {
    title: "The server gave no token for this call",
    advice: "This page's address must be allowed to ask for tokens (tokens.allowed_origins), and the agent must exist.",
  },
  call_refused: {
    title: "The server refused the call",
    advice: "The token may have expired or been used already. Call again to get a new one.",
  },
  no_webrtc: {
    title: "This browser has no WebRTC",
    advice: "Use a current version of Chrome, Edge, Firefox or Safari.",
  },
  ice_failed: {
    title: "No way through for the audio",
    advice: "The page reached Perhop, but its media port (UDP) did not answer. Check the firewall and the announced address, or configure a TURN server.",
  },
  lost: {
    title: "The connection was lost",
    advice: "The network stayed away too long. Check it, then call again.",
  },
  gone: {
    title: "The call is over",
    advice: "The server no longer has it: it was restarted, or the call ended while the connection was away. Call again.",
  },
  cancelled: { title: "The call was cancelled", advice: "" },
};

/** A call that could not be made or did not last: `title` says what, `advice` what to do, `detail` the server's words. */
export class CallError extends Error {
  /**
   * @param {CallErrorCode} code what happened
   * @param {string} [detail] more, as told by the server or the browser
   */
  constructor(code, detail = "") {
    super(detail ? `${TEXTS[code].title}: ${detail}` : TEXTS[code].title);
    this.name = "CallError";
    this.code = code;
    this.title = TEXTS[code].title;
    this.advice = TEXTS[code].advice;
    this.detail = detail;
  }

  /** Whether the same call would work without a microphone. */
  get typingHelps() {
    return this.code === "insecure_context" || this.code.startsWith("microphone_");
  }
}

/**
 * The reason why `getUserMedia` failed, as a {@link CallError}.
 *
 * @param {unknown} error what it threw
 * @returns {CallError}
 */
export function microphoneError(error) {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotFoundError" || name === "OverconstrainedError") return new CallError("microphone_missing");
  if (name === "NotAllowedError" || name === "SecurityError") return new CallError("microphone_denied");
  return new CallError("microphone_busy", error instanceof Error ? error.message : String(error));
}

/**
 * The human sentence inside an error answer of the server.
 *
 * @param {Response} response an answer with an error status
 * @returns {Promise<string>} for example `"401: the token was used already"`
 */
export async function refusal(response) {
  const text = await response.text().catch(() => "");
  let message = text;
  try {
    const body = JSON.parse(text);
    message = body?.error?.message ?? (typeof body?.detail === "string" ? body.detail : "") ?? "";
  } catch {
    message = text.startsWith("<") ? "" : text;
  }
  return [String(response.status), message.trim().slice(0, 300)].filter(Boolean).join(": ");
}
