/**
 * One program for any backend, selected by QUEUE_BACKEND. Two groups, a retry, a delay and a dead
 * letter have the same result on all of them.
 *
 *     export QUEUE_NAME=orders QUEUE_GROUPS=billing,audit
 *     QUEUE_BACKEND=memory npx tsx examples/any-backend.ts
 *     QUEUE_BACKEND=nats NATS_URL=nats://localhost:4222 npx tsx examples/any-backend.ts
 *     QUEUE_BACKEND=rabbitmq RABBITMQ_URL=amqp://localhost:5672 npx tsx examples/any-backend.ts
 *
 * From the sources of Sluice, Redis and PostgreSQL need a loader for their scripts:
 *
 *     export NODE_OPTIONS='--import tsx --import ./scripts/text-loader.mjs'
 *     QUEUE_BACKEND=redis REDIS_URL=redis://localhost:6379 node examples/any-backend.ts
 *     QUEUE_BACKEND=postgres POSTGRES_URL=postgres://localhost:5432 node examples/any-backend.ts
 *     QUEUE_BACKEND=postgres POSTGRES_URL=pglite:memory node examples/any-backend.ts
 *     QUEUE_BACKEND=postgres POSTGRES_URL=pglite:./orders node examples/any-backend.ts
 */
import { AsyncLoopConsumer, loadBackend, receive } from 'sluice';

interface OrderEvents {
  'orders.placed': { readonly order: number; readonly card: string };
}

const ORDERS = 20;
const DELAY = 300;

const orders = await loadBackend<OrderEvents>();
const failed = await loadBackend<OrderEvents>({ name: `${orders.name}.failed` });

const billed = new Set<number>();
const audited = new Set<number>();
const attempts: string[] = [];
let delayedSince = 0;
let delayedFor = 0;

const retry = { count: 2, delay: 50 };
const billing = new AsyncLoopConsumer(orders, { group: 'billing', concurrency: 4, retry, deadLetter: failed });
const audit = new AsyncLoopConsumer(orders, { group: 'audit' });

billing.outcomes$.subscribe(({ status, delivery }) => {
  if (delivery.attempt > 1) attempts.push(`order ${delivery.payload.order}, attempt ${delivery.attempt}: ${status}`);
});

const running = Promise.all([
  billing.run(async ({ order, card }, { attempt }) => {
    if (card === 'expired' || (card === 'flaky' && attempt === 1)) throw new Error('The card was refused');
    billed.add(order);
  }),
  audit.run(async ({ order }) => {
    audited.add(order);
    if (order === 5) delayedFor = performance.now() - delayedSince;
  }),
]);

for (let order = 1; order <= ORDERS; order++) {
  const card = { 7: 'flaky', 13: 'expired' }[order] ?? 'good';
  // The fifth order must not be billed before its delay has passed.
  if (order === 5) delayedSince = performance.now();
  await orders.publish('orders.placed', { order, card }, order === 5 ? { delay: DELAY } : {});
}

const deadLetter = await receive(failed, { signal: AbortSignal.timeout(20_000) });
console.log(`given up: order ${deadLetter.payload.order} after ${deadLetter.headers['sluice-attempts']} attempts`);
await deadLetter.ack();

// A broker updates its counts with a delay.
while ((await orders.stats()).unfinished > 0) await new Promise((resolve) => setTimeout(resolve, 20));
await Promise.all([billing.shutdown(), audit.shutdown(), running]);

console.log(attempts.sort().join('\n'));
// A broker counts whole milliseconds, by its own clock.
console.log(`billed: ${billed.size}, audited: ${audited.size}, order 5 after its delay: ${delayedFor > DELAY - 5}`);
console.log(await orders.stats(), await failed.stats());
await Promise.all([orders.close(), failed.close()]);
