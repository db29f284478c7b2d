// node node.mjs MODULE FUNCTION: options come as JSON on stdin, the result goes as JSON to stdout.
import { text } from "node:stream/consumers";

const [module, name] = process.argv.slice(2);
const scenario = (await import(`./${module}.mjs`))[name];
const result = await scenario(JSON.parse(await text(process.stdin)));
process.stdout.write(JSON.stringify(result), () => process.exit(0));
