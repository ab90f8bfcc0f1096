/**
 * Counts the calls of one message on Redis, from `publish` until its ack is confirmed. Prints `{
 * calls, functions, files }` as JSON.
 *
 *   node scripts/calls-of-a-message.mjs DIST REDIS_URL
 *
 * V8 counts every call of every function of the build in DIST. Messages before the counted one warm
 * up the queue, so that connecting and the first subscription do not count. One message is alone in
 * the queue. A renewal of a lease or a timer that fires meanwhile counts: the smallest of several
 * counts is taken.
 */
import { Session } from 'node:inspector/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { tap } from 'rxjs';

const WARM_UPS = 20;
const ROUNDS = 20;

const [dist, url] = process.argv.slice(2);
const root = pathToFileURL(`${path.resolve(dist)}${path.sep}`).href;
const { RedisBackend } = await import(`${root}redis/index.js`);
const { handle } = await import(`${root}index.js`);

const queue = new RedisBackend({ url, name: 'calls' });
let confirm = () => {};
const reportAck = tap((delivery) => {
  const ack = delivery.ack.bind(delivery);
  delivery.ack = () => {
    const acked = ack();
    acked.then(() => confirm());
    return acked;
  };
});
queue
  .deliveries()
  .pipe(
    reportAck,
    handle(() => {}),
  )
  .subscribe({ error: (error) => console.error(error) });

/** Publishes a message and resolves when its ack is confirmed. */
async function send() {
  const confirmed = new Promise((resolve) => {
    confirm = resolve;
  });
  await queue.publish('key', { n: 1 });
  await confirmed;
}

const session = new Session();
session.connect();
await session.post('Profiler.enable');

async function count() {
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  await session.post('Profiler.takePreciseCoverage');
  await send();
  const { result } = await session.post('Profiler.takePreciseCoverage');
  await session.post('Profiler.stopPreciseCoverage');
  const used = result
    .filter(({ url: file }) => file.startsWith(root))
    .map(({ functions }) => functions.map(({ ranges: [{ count }] }) => count).filter((calls) => calls > 0))
    .filter(({ length }) => length > 0);
  const counts = used.flat();
  return { calls: counts.reduce((total, calls) => total + calls, 0), functions: counts.length, files: used.length };
}

for (let n = 0; n < WARM_UPS; n++) await send();
const counts = [];
for (let n = 0; n < ROUNDS; n++) counts.push(await count());
await queue.close();
console.log(JSON.stringify(counts.sort((one, other) => one.calls - other.calls)[0]));
