/**
 * One run of one contender in one scenario, in this process of its own: `node --expose-gc
 * bench/child.mjs burst sluice 1000000`, and the addresses of the server where the scenario needs
 * one. Prints one line of JSON. Fails when a message is missing or out of order.
 */
import { scenarios } from './scenarios/index.mjs';

/**
 * Several short runs: each begins and ends, as the measured one does, so that the compiler has seen
 * it all before.
 */
const WARM_UPS = 6;
const WARM_UP_MESSAGES = 50_000;

const [scenarioId, contenderId, count, url, monitorUrl] = process.argv.slice(2);
const messages = Number(count);
const scenario = scenarios[scenarioId];
const { server, unit, warmUps = WARM_UPS, warmUpMessages = WARM_UP_MESSAGES } = scenario;
const contender = await import(`./${server === undefined ? '' : `${server}/`}contenders/${contenderId}.mjs`);
// The scenarios import no client, because a scenario without a server would have to wait for it.
const { empty } = server === undefined ? {} : await import(`./${server}/server.mjs`);
const run = (count) => scenario.run(contender, { messages: count, url, monitorUrl, empty, contenderId });

for (let i = 0; i < warmUps; i++) await run(Math.min(warmUpMessages, messages));
// No collection here: with the last queue of a kind, V8 throws away the code that it had optimised
// for it.
const { seconds, value = messages / seconds / (unit === 'k/s' ? 1e3 : 1e6), details } = await run(messages);
console.log(JSON.stringify({ value, seconds, messages, checked: true, details }));
process.exit();
