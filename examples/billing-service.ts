/**
 * A billing service: typed events, retries, a dead letter queue, counts of all outcomes, and a
 * graceful shutdown.
 *
 * It stops on SIGINT and SIGTERM, and by itself when every order is billed. Failed orders go to a
 * dead letter queue. They are replayed when the cause is repaired.
 *
 *     npx tsx examples/billing-service.ts
 */
import { AsyncLoopConsumer, exponentialBackoff, MemoryBackend, type OutcomeStatus, receive } from 'sluice';
import { replay } from './replay.js';

interface OrderEvents {
  'orders.placed': { readonly order: number; readonly card: string; readonly cents: number };
  'orders.returned': { readonly order: number };
}

/**
 * A simulated payment provider. It is down at first, one card has expired, and a key is charged
 * once.
 */
class PaymentProvider {
  readonly charged = new Map([['order-1', 900]]);
  readonly expired = new Set(['card-expired']);
  #refusals = 2;

  async charge(key: string, card: string, cents: number): Promise<void> {
    if (card === 'card-flaky' && this.#refusals-- > 0) throw new Error('503 Service Unavailable');
    if (this.expired.has(card)) throw new Error('The card has expired');
    this.charged.set(key, cents);
  }

  async refund(key: string): Promise<void> {
    this.charged.delete(key);
  }
}

const orders = new MemoryBackend<OrderEvents>({ name: 'orders', groups: ['billing'], validate: 'json' });
const failed = new MemoryBackend<OrderEvents>({ name: 'orders.failed', validate: 'json' });
const provider = new PaymentProvider();

const billing = new AsyncLoopConsumer(orders, {
  group: 'billing',
  concurrency: 4,
  timeout: 5000,
  retry: { count: 3, delay: exponentialBackoff({ initial: 100, max: 1000 }) },
  deadLetter: failed,
  // Failures are printed below, from the outcomes.
  logger: { debug() {}, warn() {}, error: console.error },
});

const counts: Partial<Record<OutcomeStatus, number>> = {};
billing.outcomes$.subscribe(({ status, delivery, error }) => {
  counts[status] = (counts[status] ?? 0) + 1;
  console.log(
    `order ${delivery.payload.order}, attempt ${delivery.attempt}: ${status}${error instanceof Error ? `, ${error.message}` : ''}`,
  );
});

/** Runs until every order is settled or the signal aborts. */
async function bill(): Promise<void> {
  void orders.join().then(() => billing.shutdown());
  await billing.run(async (_payload, delivery) => {
    // A message may be delivered twice. The key identifies the charge. It is built from the
    // content, not from the id.
    const key = `order-${delivery.payload.order}`;
    if (delivery.key === 'orders.placed') await provider.charge(key, delivery.payload.card, delivery.payload.cents);
    else await provider.refund(key);
  });
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void billing.shutdown({ timeout: 10_000 }));

await orders.publish('orders.returned', { order: 1 });
await orders.publish('orders.placed', { order: 2, card: 'card-good', cents: 1200 });
await orders.publish('orders.placed', { order: 3, card: 'card-flaky', cents: 3400 });
await orders.publish('orders.placed', { order: 4, card: 'card-expired', cents: 5600 }, { headers: { trace: 'a1b2' } });
await bill();

console.log('outcomes:', counts);
console.log('charged:', Object.fromEntries(provider.charged));
console.log(`stopped: ${orders.unfinished} unfinished, ${failed.size} dead letters`);

if (orders.unfinished === 0 && failed.size > 0) {
  const letter = await receive(failed);
  console.log('dead letter:', letter.key, letter.payload, letter.headers);
  await letter.release();
  await replay(failed, [orders]);
  provider.expired.clear(); // The customer has sent a new date.
  await bill();
  console.log('charged:', Object.fromEntries(provider.charged));
}
