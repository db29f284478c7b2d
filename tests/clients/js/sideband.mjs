// A server that takes part in a browser's call by its id, with tools of its own.
import { OpenAIRealtimeSIP, RealtimeSession } from "@openai/agents/realtime";

import { answered, open, weatherAgent } from "./agents.mjs";

async function attach({ url, callId }) {
  const { agent, asked } = weatherAgent();
  const session = new RealtimeSession(agent, { transport: new OpenAIRealtimeSIP() });
  const attached = await open(session, { apiKey: "sk-anything", callId, url: `${url}?call_id=${callId}` });
  await attached.frames.next("session.updated");
  return { ...attached, asked };
}

/** Gives the call a tool, asks a question in writing and waits until the answer is made. */
export async function ask(options) {
  const { session, frames, report, asked } = await attach(options);
  session.sendMessage("What is the weather in Berkeley?");
  await answered(frames);
  session.close();
  return report({ asked });
}

/** Silences the caller's loudspeaker. */
export async function interrupt(options) {
  const { session, frames, report } = await attach(options);
  session.interrupt();
  await frames.next("output_audio_buffer.cleared");
  session.close();
  return report();
}
