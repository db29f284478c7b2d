// The checker itself under test.
import { offence, WITH_SCHEMA, WITHOUT_SCHEMA } from "./frames.mjs";

export async function offences({ frames }) {
  return frames.map((frame) => offence(JSON.stringify(frame))).filter((wrong) => wrong !== null);
}

export async function learnt() {
  return [...WITHOUT_SCHEMA].filter((type) => WITH_SCHEMA.has(type));
}
