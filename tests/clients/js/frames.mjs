// Every frame that a client of these tests receives is also read here, the way @openai/agents reads it.
import {
  parseRealtimeEvent,
  realtimeServerEventSchema,
} from "./node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs";

/** Events of the API that @openai/agents has no schema for: it hands them on as they are. All others have to fit. */
export const WITHOUT_SCHEMA = new Set([
  "conversation.item.created",
  "conversation.item.input_audio_transcription.segment",
  "input_audio_buffer.dtmf_event_received",
  "input_audio_buffer.timeout_triggered",
  "response.mcp_call.failed",
]);

export const WITH_SCHEMA = new Set(realtimeServerEventSchema.options.flatMap((option) => [...option.shape.type.values]));
const WITHIN_MS = 15_000;

/** What is wrong with a frame; null when nothing is. Names, paths and reasons: no contents. */
export function offence(data) {
  const { data: event, isGeneric } = parseRealtimeEvent({ data });
  if (event === null) return { type: null, issues: ["neither JSON nor an object with a type"] };
  if (!isGeneric) return null;
  if (!WITH_SCHEMA.has(event.type)) {
    return WITHOUT_SCHEMA.has(event.type) ? null : { type: event.type, issues: ["no event the package knows"] };
  }
  const { error } = realtimeServerEventSchema.safeParse(JSON.parse(data.toString()));
  return { type: event.type, issues: error.issues.flatMap((issue) => told(issue)) };
}

function told(issue, above = []) {
  const path = [...above, ...issue.path];
  const inner = issue.code === "invalid_union" ? issue.errors.flat() : [];
  return inner.length > 0 ? inner.flatMap((one) => told(one, path)) : [`${path.join(".")}: ${issue.message}`];
}

/** The frames of one connection, in order. */
export class Frames {
  events = [];
  offences = [];
  #settled = 0;
  #looked = 0;
  #wake = () => {};

  /** Takes the text of a frame. */
  take(data) {
    const wrong = offence(data);
    if (wrong !== null) this.offences.push(wrong);
    this.events.push(wrong?.type === null ? { type: "unreadable" } : JSON.parse(data.toString()));
    // In a later task: then the client under test has seen the event too.
    setTimeout(() => (this.#settled++, this.#wake()));
  }

  /** Takes every frame of a transport of @openai/agents, from its first on. */
  follow(transport) {
    transport.on("connection_change", (status) => {
      if (status !== "connecting") return;
      const { websocket, dataChannel } = transport.connectionState;
      (websocket ?? dataChannel).addEventListener("message", ({ data }) => this.take(data));
    });
    return this;
  }

  /** The next event of a type behind the one found last; fails when it does not come. */
  async next(type, fits = () => true) {
    const deadline = Date.now() + WITHIN_MS;
    for (;;) {
      while (this.#looked < this.#settled) {
        const event = this.events[this.#looked++];
        if (event.type === type && fits(event)) return event;
      }
      await this.#more(deadline, type);
    }
  }

  all(type) {
    return this.events.filter((event) => event.type === type);
  }

  /** What a test asserts on. */
  report() {
    const counts = {};
    for (const { type } of this.events) counts[type] = (counts[type] ?? 0) + 1;
    return {
      counts,
      offences: this.offences,
      errors: this.all("error").map(({ error }) => error),
    };
  }

  #more(deadline, type) {
    return new Promise((resolve, reject) => {
      const seen = () => `no ${type} came; received: ${JSON.stringify(this.report())}`;
      const timer = setTimeout(() => reject(new Error(seen())), Math.max(0, deadline - Date.now()));
      this.#wake = () => (clearTimeout(timer), resolve());
    });
  }
}
