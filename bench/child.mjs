/**
 * One run of one contender in one scenario, in this process of its own: `node --expose-gc bench/child.mjs burst sluice 1000000`.
 * Prints one line of JSON. Fails when a message is missing or out of order.
 */
import { scenarios } from './scenarios/index.mjs';

/** Several short runs: each begins and ends, as the measured one does, so that the compiler has seen it all before. */
const WARM_UPS = 6;
const WARM_UP_MESSAGES = 50_000;

const [scenarioId, contenderId, count] = process.argv.slice(2);
const messages = Number(count);
const scenario = scenarios[scenarioId];
const contender = await import(`./contenders/${contenderId}.mjs`);

for (let i = 0; i < WARM_UPS; i++) await scenario.run(contender, { messages: Math.min(WARM_UP_MESSAGES, messages) });
// No collection here: with the last queue of a kind, V8 throws away the code that it had optimised for it.
const { seconds, value = messages / seconds / 1e6, details } = await scenario.run(contender, { messages });
console.log(JSON.stringify({ value, seconds, messages, checked: true, details }));
process.exit();
