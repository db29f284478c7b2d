// The `openai` package in node. Its WebSocket speaks TLS only.
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

import { Frames } from "./frames.mjs";

const client = ({ url }) => new OpenAI({ apiKey: "sk-anything", baseURL: `${url}/v1`, maxRetries: 0 });

/** A client that takes every frame and notes what it reports. */
function connect(options, target) {
  const frames = new Frames();
  const troubles = [];
  const rt = new OpenAIRealtimeWS(target, client(options));
  rt.socket.on("message", (data) => frames.take(data));
  rt.on("error", (error) => troubles.push(error.message));
  const opened = new Promise((resolve, reject) => {
    rt.socket.once("open", resolve);
    rt.socket.once("error", reject);
  });
  return { rt, frames, opened, report: (more = {}) => ({ ...frames.report(), troubles, ...more }) };
}

/** Asks the same question in writing and aloud. */
export async function turns({ speech, ...options }) {
  const { rt, frames, opened, report } = connect(options, { model: "gpt-realtime" });
  await opened;
  const written = [];
  rt.on("response.output_text.delta", ({ delta }) => written.push(delta));
  rt.send({ type: "session.update", session: { type: "realtime", output_modalities: ["text"], tools: [tool] } });
  const item = { type: "message", role: "user", content: [{ type: "input_text", text: "What can you do?" }] };
  rt.send({ type: "conversation.item.create", item });
  rt.send({ type: "response.create" });
  await frames.next("response.done");
  rt.send({ type: "input_audio_buffer.append", audio: speech });
  const { response } = await frames.next("response.done");
  const closed = new Promise((resolve) => rt.socket.once("close", resolve));
  rt.close();
  return report({ written: written.join(""), called: response.output.map(({ name, arguments: args }) => [name, args]), closeCode: await closed });
}

const tool = {
  type: "function",
  name: "get_weather",
  description: "Tells the weather of a city.",
  parameters: { type: "object", properties: { city: { enum: ["Oakland", "Berkeley"] } }, required: ["city"] },
};

/** Everything a client can say, and what comes back. */
export async function everyEvent({ speech, ...options }) {
  const { rt, frames, opened, report } = connect(options, { model: "gpt-realtime" });
  await opened;
  const update = (session) => rt.send({ type: "session.update", session: { type: "realtime", ...session } });
  const say = (id, text) =>
    rt.send({
      type: "conversation.item.create",
      item: { id, type: "message", role: "user", content: [{ type: "input_text", text }] },
    });
  const listening = { transcription: { model: "whisper-1" } };

  update({ output_modalities: ["text"], tools: [tool], audio: { input: { ...listening, turn_detection: null } } });
  await frames.next("session.updated");
  say("item_said", "Hello");
  rt.send({ type: "conversation.item.retrieve", item_id: "item_said" });
  await frames.next("conversation.item.retrieved");
  rt.send({ type: "response.create", response: { output_modalities: ["audio"] } });
  const spoken = await frames.next("response.done");
  rt.send({
    type: "conversation.item.truncate",
    item_id: spoken.response.output[0].id,
    content_index: 0,
    audio_end_ms: 100,
  });
  await frames.next("conversation.item.truncated");
  rt.send({ type: "conversation.item.delete", item_id: "item_said" });
  await frames.next("conversation.item.deleted");

  rt.send({ type: "input_audio_buffer.append", audio: speech });
  rt.send({ type: "input_audio_buffer.clear" });
  await frames.next("input_audio_buffer.cleared");
  rt.send({ type: "input_audio_buffer.append", audio: speech });
  rt.send({ type: "input_audio_buffer.commit" });
  await frames.next("conversation.item.input_audio_transcription.completed");

  const aside = [{ type: "message", role: "user", content: [{ type: "input_text", text: "Thanks" }] }];
  rt.send({ type: "response.create", response: { conversation: "none", metadata: { topic: "aside" }, input: aside } });
  const outOfBand = await frames.next("response.done");
  update({ tool_choice: "required" });
  say("item_asked", "What is the weather in Oakland?");
  rt.send({ type: "response.create" });
  await frames.next("response.done");
  update({ output_modalities: ["audio"], tools: [], tool_choice: "auto" });
  // In one breath: a short answer would be over before the client has heard that it began.
  rt.send({ type: "response.create", response: { input: aside } });
  rt.send({ type: "response.cancel" });
  const cancelled = await frames.next("response.done");

  rt.send({ type: "response.cancel", event_id: "mine" });
  await frames.next("error");
  rt.close();
  return report({ metadata: outOfBand.response.metadata, cancelled: cancelled.response.status });
}

/** A session that only writes down what is said. */
export async function transcription({ speech, ...options }) {
  const { rt, frames, opened, report } = connect(options, { intent: "transcription" });
  await opened;
  const { session } = await frames.next("session.created");
  rt.send({ type: "input_audio_buffer.append", audio: speech });
  const { transcript } = await frames.next("conversation.item.input_audio_transcription.completed");
  rt.close();
  return report({ sessionType: session.type, transcript });
}

/** A client secret for a page, as its server mints it. */
export async function mint(options) {
  const { value, session } = await client(options).realtime.clientSecrets.create({
    expires_after: { anchor: "created_at", seconds: 60 },
    session: { type: "realtime", model: "gpt-realtime" },
  });
  return { secret: value, type: session.type };
}

/** Ends a call over HTTP. */
export async function hangUp({ callId, ...options }) {
  await client(options).realtime.calls.hangup(callId);
  return null;
}
