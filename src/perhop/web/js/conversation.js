/**
 * What was said and done in a call, in order: the events of the Realtime protocol folded into entries a page can show.
 *
 * Nothing here touches the page, so it can be used with any view. Times are milliseconds of one clock, given by the caller.
 *
 * @module
 */

/**
 * @typedef {object} Tool one function call of the agent
 * @property {string} callId the model's id of the function call
 * @property {string} name
 * @property {string} arguments JSON, grows while it streams in
 * @property {string | null} output what the tool returned, usually JSON; null while it runs
 * @property {number | null} startedAt when its arguments were complete
 * @property {number | null} endedAt when its output arrived
 */

/**
 * @typedef {object} Entry one line of the conversation
 * @property {string} id the item's id
 * @property {'caller' | 'agent' | 'tool' | 'notice'} kind
 * @property {'live' | 'done' | 'interrupted' | 'failed'} status
 * @property {string} text
 * @property {boolean} typed said by text
 * @property {number} at when it began
 * @property {number | null} heardMs of an interrupted turn: how much of its audio was played
 * @property {number} heardChars of an interrupted turn: how much of `text` that is, by estimate
 * @property {string | null} responseId
 * @property {Tool | null} tool
 */

/** Characters a voice says in a millisecond, until one whole turn has shown it. */
const DEFAULT_PACE = 0.0145;

/** The newest entries that are kept; a call of hours must not fill the page. */
const MAX_ENTRIES = 400;

/** Folds events into entries. */
export class Conversation {
  constructor() {
    /** @type {Entry[]} in the order of the conversation */
    this.entries = [];
    /** @type {Map<string, Entry>} */
    this.byId = new Map();
    /** @type {Map<string, number>} when a response's audio began to play */
    this.playingSince = new Map();
    /** @type {Map<string, string>} outputs that came before their call */
    this.earlyOutputs = new Map();
    this.pace = DEFAULT_PACE;
    this.notices = 0;
  }

  /**
   * @param {any} event a server event
   * @param {number} now ms
   * @returns {Entry[]} the entries that are new or have changed
   */
  apply(event, now) {
    const handler = HANDLERS[event.type];
    const changed = handler ? handler(this, event, now) : [];
    return (Array.isArray(changed) ? changed : [changed]).filter((entry) => entry !== undefined && entry !== null);
  }

  /**
   * The entry of an item, made if need be.
   *
   * @param {string} id
   * @param {Entry['kind']} kind
   * @param {number} now ms
   * @param {string | null} [after] the item before it, when known
   * @returns {Entry}
   */
  ensure(id, kind, now, after) {
    const known = this.byId.get(id);
    if (known) return known;
    /** @type {Entry} */
    const entry = {
      ...{ id, kind, at: now, status: "live", text: "", typed: false, heardMs: null, heardChars: 0, responseId: null },
      tool: kind === "tool" ? { callId: "", name: "", arguments: "", output: null, startedAt: null, endedAt: null } : null,
    };
    const before = after ? this.entries.findIndex((other) => other.id === after) : -1;
    this.entries.splice(before < 0 ? this.entries.length : before + 1, 0, entry);
    this.byId.set(id, entry);
    if (this.entries.length > MAX_ENTRIES) this.byId.delete(this.entries.shift()?.id ?? "");
    return entry;
  }

  /**
   * A line of the page's own.
   *
   * @param {string} text
   * @param {number} now ms
   * @returns {Entry}
   */
  notice(text, now) {
    this.notices += 1;
    const entry = this.ensure(`notice_${this.notices}`, "notice", now);
    return Object.assign(entry, { text, status: "done" });
  }

  /** Nothing more will come: whatever is still growing is done. @returns {Entry[]} the entries that changed */
  end() {
    const live = this.entries.filter((entry) => entry.status === "live");
    for (const entry of live) entry.status = entry.tool && entry.tool.output === null ? "failed" : "done";
    return live;
  }

  /**
   * Marks an agent's turn as cut.
   *
   * @param {Entry | undefined} entry
   * @param {number | null} [heardMs]
   * @returns {Entry | undefined}
   */
  cut(entry, heardMs = null) {
    if (entry?.kind !== "agent") return undefined;
    entry.status = "interrupted";
    entry.heardMs = heardMs ?? entry.heardMs;
    const heard = entry.heardMs === null ? entry.text.length : Math.round(entry.heardMs * this.pace);
    entry.heardChars = endOfWord(entry.text, heard);
    return entry;
  }

  /** @param {string} responseId */
  ofResponse(responseId) {
    return this.entries.filter((entry) => entry.responseId === responseId);
  }

  /** @param {string} callId */
  toolOf(callId) {
    return this.entries.find((entry) => entry.tool?.callId === callId);
  }
}

/** @typedef {Entry | undefined | null | (Entry | undefined)[]} Changed */

/** @type {Record<string, (conversation: Conversation, event: any, now: number) => Changed>} */
const HANDLERS = {
  "input_audio_buffer.speech_started": (conversation, event, now) => conversation.ensure(event.item_id, "caller", now),

  "conversation.item.input_audio_transcription.delta": (conversation, event, now) => {
    const entry = conversation.ensure(event.item_id, "caller", now);
    if (entry.status === "live") entry.text += event.delta;
    return entry;
  },
  "conversation.item.input_audio_transcription.completed": (conversation, event, now) =>
    Object.assign(conversation.ensure(event.item_id, "caller", now), { text: event.transcript, status: "done" }),
  "conversation.item.input_audio_transcription.failed": (conversation, event, now) =>
    Object.assign(conversation.ensure(event.item_id, "caller", now), { status: "failed" }),

  "conversation.item.added": onItem,
  "conversation.item.done": onItem,
  "response.output_item.added": onItem,
  "response.output_item.done": onItem,

  "response.output_audio_transcript.delta": grow,
  "response.output_text.delta": grow,
  "response.output_audio_transcript.done": (conversation, event, now) => finishText(conversation, event, event.transcript, now),
  "response.output_text.done": (conversation, event, now) => finishText(conversation, event, event.text, now),

  "response.function_call_arguments.delta": (conversation, event, now) => {
    const entry = conversation.ensure(event.item_id, "tool", now);
    if (entry.tool && entry.status === "live" && entry.tool.startedAt === null) entry.tool.arguments += event.delta;
    return entry;
  },

  "conversation.item.truncated": (conversation, event) =>
    conversation.cut(conversation.byId.get(event.item_id), event.audio_end_ms),
  "conversation.item.deleted": (conversation, event) => conversation.cut(conversation.byId.get(event.item_id), 0),

  "output_audio_buffer.started": (conversation, event, now) => {
    conversation.playingSince.set(event.response_id, now);
    return [];
  },
  "output_audio_buffer.stopped": (conversation, event, now) => {
    const since = conversation.playingSince.get(event.response_id);
    const chars = conversation
      .ofResponse(event.response_id)
      .reduce((sum, entry) => sum + (entry.kind === "agent" ? entry.text.length : 0), 0);
    if (since !== undefined && chars > 20 && now - since > 500) conversation.pace = chars / (now - since);
    return [];
  },
  "output_audio_buffer.cleared": (conversation, event, now) => {
    const since = conversation.playingSince.get(event.response_id);
    return conversation
      .ofResponse(event.response_id)
      .map((entry) => conversation.cut(entry, entry.heardMs ?? (since === undefined ? null : now - since)));
  },

  "response.done": (conversation, event, now) => {
    const { id, status, status_details: details } = event.response;
    if (status === "failed") {
      return conversation.notice(`The agent could not answer: ${details?.error?.message ?? "the model failed"}`, now);
    }
    if (status !== "cancelled") return [];
    const unheard = conversation.playingSince.has(id) ? null : 0;
    return conversation.ofResponse(id).map((entry) => {
      if (entry.kind === "tool" && entry.tool?.startedAt === null) entry.status = "failed";
      return entry.kind === "agent" ? conversation.cut(entry, entry.heardMs ?? unheard) : entry;
    });
  },

  error: (conversation, event, now) => {
    if (QUIET_ERRORS.has(event.error?.code)) return [];
    return conversation.notice(event.error?.message ?? "The server reported an error.", now);
  },
};

/** Errors that only say that a request and a change crossed on the way. */
const QUIET_ERRORS = new Set(["response_cancel_not_active", "conversation_already_has_active_response"]);

/**
 * @param {Conversation} conversation
 * @param {any} event one of the four events that carry an item
 * @param {number} now ms
 * @returns {Changed}
 */
function onItem(conversation, event, now) {
  const { item } = event;
  const done = event.type.endsWith(".done");
  if (item.type === "message") return onMessage(conversation, event, now, done);
  if (item.type === "function_call") return onFunctionCall(conversation, event, now, done);
  if (item.type === "function_call_output") {
    const entry = conversation.toolOf(item.call_id);
    if (!entry) conversation.earlyOutputs.set(item.call_id, item.output);
    return entry && setOutput(entry, item.output, now);
  }
  return [];
}

/**
 * @param {Conversation} conversation
 * @param {any} event
 * @param {number} now ms
 * @param {boolean} done
 */
function onMessage(conversation, event, now, done) {
  const { item } = event;
  if (item.role !== "user" && item.role !== "assistant") return [];
  const entry = conversation.ensure(item.id, item.role === "user" ? "caller" : "agent", now, event.previous_item_id);
  entry.responseId ??= event.response_id ?? null;
  const parts = item.content ?? [];
  const text = parts.map((/** @type {any} */ part) => part.text ?? part.transcript ?? "").join("");
  if (entry.kind === "caller") {
    if (parts.some((/** @type {any} */ part) => part.type === "input_text")) {
      return Object.assign(entry, { text, typed: true, status: "done" });
    }
    if (text && entry.status === "live") entry.text = text;
    return entry;
  }
  if (!done) return entry;
  if (item.status === "incomplete") return conversation.cut(entry);
  if (entry.status === "live") Object.assign(entry, { text: text || entry.text, status: "done" });
  return entry;
}

/**
 * @param {Conversation} conversation
 * @param {any} event
 * @param {number} now ms
 * @param {boolean} done
 */
function onFunctionCall(conversation, event, now, done) {
  const { item } = event;
  const entry = conversation.ensure(item.id, "tool", now, event.previous_item_id);
  if (!entry.tool) return entry;
  entry.responseId ??= event.response_id ?? null;
  entry.tool.callId = item.call_id ?? entry.tool.callId;
  entry.tool.name = item.name ?? entry.tool.name;
  if (!done) return entry;
  if (item.status === "incomplete") return Object.assign(entry, { status: "failed" });
  entry.tool.arguments = item.arguments || entry.tool.arguments;
  entry.tool.startedAt ??= now;
  const early = conversation.earlyOutputs.get(entry.tool.callId);
  return early === undefined ? entry : setOutput(entry, early, now);
}

/**
 * @param {Entry} entry
 * @param {string} output
 * @param {number} now ms
 */
function setOutput(entry, output, now) {
  if (!entry.tool || entry.tool.output !== null) return entry;
  entry.tool.output = output;
  entry.tool.startedAt ??= now;
  entry.tool.endedAt = now;
  entry.status = isFailure(output) ? "failed" : "done";
  return entry;
}

/** @param {string} output whether a tool's output is an error object */
function isFailure(output) {
  try {
    const value = JSON.parse(output);
    return typeof value === "object" && value !== null && "error" in value && Boolean(value.error);
  } catch {
    return false;
  }
}

/**
 * @param {Conversation} conversation
 * @param {any} event a delta of what the agent says
 * @param {number} now ms
 */
function grow(conversation, event, now) {
  const entry = conversation.ensure(event.item_id, "agent", now);
  entry.responseId ??= event.response_id ?? null;
  if (entry.status === "live") entry.text += event.delta;
  return entry;
}

/**
 * @param {Conversation} conversation
 * @param {any} event
 * @param {string} text
 * @param {number} now ms
 */
function finishText(conversation, event, text, now) {
  const entry = conversation.ensure(event.item_id, "agent", now);
  entry.responseId ??= event.response_id ?? null;
  if (entry.status === "live") entry.text = text;
  return entry;
}

/**
 * The end of the word that holds a position.
 *
 * @param {string} text
 * @param {number} position
 */
function endOfWord(text, position) {
  if (position <= 0) return 0;
  if (position >= text.length) return text.length;
  const space = text.indexOf(" ", position);
  return space < 0 ? text.length : space;
}
