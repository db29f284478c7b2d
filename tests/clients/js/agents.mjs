// @openai/agents as an application uses it: agents with tools, a session, a transport. In node and in browsers.
import { hostedMcpTool } from "@openai/agents";
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents/realtime";
import { z } from "zod";

import { Frames } from "./frames.mjs";

const LATER = [
  "In the afternoon clouds come in from the west, and there may be a little rain in the evening.",
  "Tomorrow begins with fog that clears before noon, and the rest of the week stays dry and mild.",
].join(" ");

/** An agent whose tool the client runs, long answers, and a list of what the tool was asked. */
export function weatherAgent() {
  const asked = [];
  const getWeather = tool({
    name: "get_weather",
    description: "Tells the weather of a city.",
    parameters: z.object({ city: z.enum(["Oakland", "Berkeley", "Alameda"]) }),
    execute: (args) => (asked.push(args), { answer: `It is sunny in ${args.city}. ${LATER}` }),
  });
  const agent = new RealtimeAgent({ name: "Weather", instructions: "Tell the weather.", tools: [getWeather] });
  return { agent, asked };
}

/** A session over WebSocket, connected, and everything it noticed. */
async function connect(agent, { url, key = "sk-anything", config = {} }) {
  const transport = new OpenAIRealtimeWebSocket({ url, useInsecureApiKey: true });
  return open(new RealtimeSession(agent, { transport, model: "gpt-realtime", config }), { apiKey: key });
}

/** Connects a session and notes what it tells its application. */
export async function open(session, options) {
  const frames = new Frames().follow(session.transport);
  const noticed = [];
  const troubles = [];
  let audioBytes = 0;
  for (const name of ["agent_start", "agent_end", "agent_handoff", "agent_tool_start", "agent_tool_end", "audio_interrupted"])
    session.on(name, () => noticed.push(name));
  session.on("audio", ({ data }) => (audioBytes += data.byteLength));
  session.on("error", ({ error }) => troubles.push(String(error?.message ?? JSON.stringify(error))));
  await session.connect(options);
  const report = (more = {}) => ({ ...frames.report(), noticed, troubles, audioBytes, history: said(session), ...more });
  return { session, frames, report };
}

/** The conversation as an application shows it. */
function said(session) {
  return session.history.map((item) =>
    item.type === "message"
      ? { role: item.role, status: item.status, text: item.content.map((part) => part.text ?? part.transcript).join("") }
      : { name: item.name, status: item.status, output: item.output },
  );
}

/** A finished answer in words, spoken or written. */
export function answered(frames) {
  const isAnswer = ({ status, output }) => status === "completed" && output.some((item) => item.type === "message");
  return frames.next("response.done", ({ response }) => isAnswer(response));
}

function pcm(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
}

export async function textTurn(options) {
  const agent = new RealtimeAgent({ name: "Writer", instructions: "Be brief." });
  const { session, frames, report } = await connect(agent, { ...options, config: { outputModalities: ["text"] } });
  session.sendMessage("Hello");
  await frames.next("response.done");
  session.close();
  return report({ inputTokens: session.usage.inputTokens, outputTokens: session.usage.outputTokens });
}

/** Says something, and waits for the spoken answer and for the words that were heard. */
export async function audioTurn({ speech, ...options }) {
  const { session, frames, report } = await connect(weatherAgent().agent, options);
  session.sendAudio(pcm(speech));
  await frames.next("conversation.item.input_audio_transcription.completed");
  await frames.next("conversation.item.retrieved");
  await answered(frames);
  session.close();
  return report();
}

export async function toolCall(options) {
  const { agent, asked } = weatherAgent();
  const { session, frames, report } = await connect(agent, options);
  session.sendMessage("What is the weather in Oakland?");
  await answered(frames);
  session.close();
  return report({ asked });
}

/** Two agents: the first hands over to the second, whose tool then answers. */
export async function handoff(options) {
  const { agent: weather, asked } = weatherAgent();
  weather.handoffDescription = "Knows the weather.";
  const reception = new RealtimeAgent({ name: "Reception", instructions: "Connect callers.", handoffs: [weather] });
  const { session, frames, report } = await connect(reception, { ...options, config: { outputModalities: ["text"] } });
  const agents = [];
  session.on("agent_handoff", (_context, from, to) => agents.push([from.name, to.name]));
  session.sendMessage("Transfer to weather");
  await answered(frames);
  session.sendMessage("Yes");
  await answered(frames);
  session.sendMessage("What is the weather in Oakland?");
  await answered(frames);
  session.close();
  return report({ agents, asked });
}

/** Talks over a long answer: it is cut at what was heard of it, and what was said instead is answered. */
export async function bargeIn({ speech, ...options }) {
  const { session, frames, report } = await connect(weatherAgent().agent, options);
  session.sendMessage("What is the weather in Oakland?");
  await frames.next("response.output_audio.delta");
  session.sendAudio(pcm(speech));
  const { item_id, audio_end_ms } = await frames.next("conversation.item.truncated");
  await frames.next("conversation.item.retrieved", ({ item }) => item.id === item_id);
  await answered(frames);
  session.close();
  return report({ audioEndMs: audio_end_ms });
}

/** A call of an agent that Perhop has: its tools run there, and the client is shown the calls. */
export async function agentOfTheServer(options) {
  const { session, frames, report } = await connect(weatherAgent().agent, options);
  // It greets first. A message that comes before its first word would stand before the greeting in the conversation.
  await answered(frames);
  session.sendMessage("I'd like to see a two bedroom in Oakland");
  await frames.next("response.done", ({ response }) => response.output.some((item) => item.type === "function_call"));
  await answered(frames);
  session.close();
  return report();
}

/** Tools of an MCP server, which Perhop asks; the application approves each call. */
export async function mcpTools({ mcp, ...options }) {
  const forecast = hostedMcpTool({ serverLabel: "forecast", serverUrl: mcp, requireApproval: "always" });
  const agent = new RealtimeAgent({ name: "Weather", instructions: "Tell the weather.", tools: [forecast] });
  const { session, frames, report } = await connect(agent, { ...options, config: { outputModalities: ["text"] } });
  const approved = [];
  session.on("tool_approval_requested", (_context, _agent, request) => {
    approved.push(request.approvalItem.rawItem.name);
    session.approve(request.approvalItem);
  });
  await frames.next("mcp_list_tools.completed");
  session.sendMessage("What is the weather in Oakland?");
  await frames.next("response.mcp_call.completed");
  await answered(frames);
  session.sendMessage("What is the weather in Berkeley?");
  await frames.next("response.mcp_call.failed");
  await answered(frames);
  session.close();
  return report({ listed: session.availableMcpTools.map(({ name }) => name), approved });
}

/** The same with an MCP server that does not answer. */
export async function mcpServerDown({ mcp, ...options }) {
  const forecast = hostedMcpTool({ serverLabel: "forecast", serverUrl: mcp });
  const { session, frames, report } = await connect(new RealtimeAgent({ name: "Weather", tools: [forecast] }), options);
  await frames.next("mcp_list_tools.failed");
  await frames.next("conversation.item.done", ({ item }) => item.type === "mcp_list_tools");
  session.close();
  return report();
}

/** Something is said to a server whose recogniser does not answer. */
export async function unheard({ speech, ...options }) {
  const { session, frames, report } = await connect(weatherAgent().agent, options);
  session.sendAudio(pcm(speech));
  const { error } = await frames.next("conversation.item.input_audio_transcription.failed");
  session.close();
  return report({ error });
}
