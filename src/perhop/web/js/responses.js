/**
 * Asks for responses one at a time.
 *
 * A Realtime conversation has at most one response in progress, and the server starts responses too (after speech, after
 * a tool). So a request made while one is in progress waits for its `response.done`, and a request that lost the race
 * (`conversation_already_has_active_response`) is made again.
 *
 * @module
 */

/** The only sender of `response.create` on this side of a call. */
export class ResponseRequests {
  /** @param {(event: object) => unknown} send sends one client event */
  constructor(send) {
    this.send = send;
    /** @type {string | null} the response in progress in the conversation */
    this.active = null;
    this.wanted = false;
    this.count = 0;
  }

  /** Asks for a response: now, or as soon as the one in progress is over. */
  request() {
    if (this.active !== null) {
      this.wanted = true;
      return;
    }
    this.wanted = false;
    this.count += 1;
    this.send({ type: "response.create", event_id: `web_create_${this.count}` });
  }

  /** What was in progress is not any more: the connection was lost. */
  reset() {
    this.active = null;
    this.wanted = false;
  }

  /** @param {any} event a server event */
  onEvent(event) {
    if (event.type === "response.created" && event.response?.conversation_id !== null) {
      this.active = event.response?.id ?? "unknown";
    } else if (event.type === "response.done" && (event.response?.id ?? "unknown") === this.active) {
      this.active = null;
      if (this.wanted) this.request();
    } else if (
      event.type === "error" &&
      event.error?.code === "conversation_already_has_active_response" &&
      String(event.error.event_id ?? "").startsWith("web_create_")
    ) {
      this.wanted = true;
    }
  }
}
