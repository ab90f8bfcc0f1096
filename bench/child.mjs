/**
 * Runs one contender in one scenario in this process:
 * `node --expose-gc bench/child.mjs burst sluice 1000000`, followed by the addresses of the server
 * if the scenario needs one. Prints one line of JSON. Fails if a message is missing or out of
 * order.
 */
import { scenarios } from './scenarios/index.mjs';

/**
 * Several short runs precede the measured one. Each starts and ends like it, so that the compiler
 * has already optimised the code.
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
// Do not collect garbage here: with the last queue of a class, V8 discards the code that it
// optimised for the class.
const { seconds, value = messages / seconds / (unit === 'k/s' ? 1e3 : 1e6), details } = await run(messages);
console.log(JSON.stringify({ value, seconds, messages, checked: true, details }));
process.exit();
