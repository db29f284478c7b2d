// WebRTC as pages use it, with both packages. Browsers only; the microphone is the browser's.
import { OpenAIRealtimeWebRTC as AgentsWebRTC, RealtimeSession } from "@openai/agents/realtime";
import { OpenAIRealtimeWebRTC } from "openai/realtime/webrtc";

import { open, weatherAgent } from "./agents.mjs";
import { Frames } from "./frames.mjs";

/** The page's call: it stays open between the steps of a test. */
let call;

/** Calls with @openai/agents. */
export async function callWithAgents({ url, secret }) {
  const { agent, asked } = weatherAgent();
  const transport = new AgentsWebRTC({ baseUrl: `${url}/v1/realtime/calls` });
  const began = performance.now();
  call = await open(new RealtimeSession(agent, { transport, model: "gpt-realtime" }), { apiKey: secret });
  call.asked = asked;
  call.hangUp = () => call.session.close();
  return { callId: transport.callId, connectMs: performance.now() - began };
}

/** Calls with `openai`, which leaves signalling and media to the application. */
export async function callWithOpenAI({ url, secret }) {
  const frames = new Frames();
  const troubles = [];
  const rt = new OpenAIRealtimeWebRTC();
  rt.dataChannel.addEventListener("message", ({ data }) => frames.take(data));
  rt.onConnectionEvent((event) => event.type === "error" && troubles.push(event.error.message));
  const ended = new Promise((resolve) => rt.onConnectionEvent((event) => event.type === "closed" && resolve(event.reason)));
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const loudspeaker = Object.assign(document.createElement("audio"), { autoplay: true });
  rt.peerConnection.addEventListener("track", ({ streams }) => (loudspeaker.srcObject = streams[0]));
  for (const track of microphone.getTracks()) rt.peerConnection.addTrack(track, microphone);
  let callId;
  const began = performance.now();
  await rt.connect({
    exchangeSdp: async (offer, { signal }) => {
      const headers = { authorization: `Bearer ${secret}`, "content-type": "application/sdp" };
      const answer = await fetch(`${url}/v1/realtime/calls`, { method: "POST", signal, headers, body: offer });
      callId = answer.headers.get("location").split("/").pop();
      return answer.text();
    },
  });
  call = { rt, frames, ended, report: () => ({ ...frames.report(), troubles }), hangUp: () => rt.close() };
  return { callId, connectMs: performance.now() - began };
}

/** With @openai/agents: the microphone asks, is answered aloud, speaks over that, and is answered again. */
export async function spokenTurnAndBargeIn() {
  const { frames, report, asked } = call;
  await frames.next("output_audio_buffer.started");
  await frames.next("input_audio_buffer.speech_started");
  await frames.next("output_audio_buffer.cleared");
  await frames.next("conversation.item.truncated");
  await frames.next("output_audio_buffer.started");
  return report({ asked });
}

/** With @openai/agents: the stop button, while an answer is spoken. */
export async function stopButton() {
  call.session.interrupt();
  await call.frames.next("output_audio_buffer.cleared");
  return call.report();
}

/** With `openai`: a question in writing, an answer aloud, to its end. */
export async function writtenQuestion() {
  const { rt, frames, report } = call;
  const item = { type: "message", role: "user", content: [{ type: "input_text", text: "Thanks" }] };
  rt.send({ type: "session.update", session: { type: "realtime", instructions: "Be brief." } });
  rt.send({ type: "conversation.item.create", item });
  rt.send({ type: "response.create" });
  await frames.next("output_audio_buffer.started");
  await frames.next("response.done");
  await frames.next("output_audio_buffer.stopped");
  return report();
}

/** Everything up to the moment at which somebody else silenced the call. */
export async function silenced() {
  await call.frames.next("output_audio_buffer.cleared");
  return call.report();
}

/** With `openai`: waits until somebody else ended the call, and tells why it thinks it did. */
export async function ended() {
  return { ...call.report(), reason: await call.ended };
}

export async function hangUp() {
  call.hangUp();
}

/** What a page is told when its call is refused. */
export async function refused({ url }) {
  const transport = new AgentsWebRTC({ baseUrl: `${url}/v1/realtime/calls` });
  const session = new RealtimeSession(weatherAgent().agent, { transport });
  session.on("error", () => {});
  return session.connect({ apiKey: "ek_unknown" }).then(() => null, (error) => error.message);
}
