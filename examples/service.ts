/**
 * A service that runs until it receives a signal and then stops cleanly.
 *
 * On SIGINT (Ctrl-C) the signal aborts. The running body finishes, other messages are requeued and
 * the loop ends. The process exits by itself, since no timer, listener or subscription is left.
 *
 *     npx tsx examples/service.ts
 */
import { setTimeout as pause } from 'node:timers/promises';
import { MemoryBackend, type QueueBackend } from 'sluice';

interface OrderEvents {
  'orders.created': { readonly order: number };
}

/** Uses the contract only, so it runs on any backend. */
async function work(queue: QueueBackend<OrderEvents>, signal: AbortSignal): Promise<number> {
  let done = 0;
  for await (const { key, payload, attempt } of queue.deliveries({ signal })) {
    await pause(5);
    console.log(`${key} ${payload.order} (attempt ${attempt})`);
    done++;
  }
  return done;
}

/** Publishes orders until the shop closes. */
async function takeOrders(queue: QueueBackend<OrderEvents>, signal: AbortSignal): Promise<void> {
  for (let order = 1; !signal.aborted; order++) {
    await queue.publish('orders.created', { order }, { signal }).catch(() => undefined);
  }
}

const queue = new MemoryBackend<OrderEvents>({ name: 'orders', capacity: 10 });
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

const [done] = await Promise.all([work(queue, stop.signal), takeOrders(queue, stop.signal)]);
await queue.close();

const left = queue.clear();
console.log(`stopped: ${done} orders done, ${left.length} still waiting, ${queue.unfinished} unfinished`);
