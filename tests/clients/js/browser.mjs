// What the test's page runs, in one file made by esbuild.
import * as agents from "./agents.mjs";
import * as webrtc from "./webrtc.mjs";

window.clients = { agents, webrtc };
