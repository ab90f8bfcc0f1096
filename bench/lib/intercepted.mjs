/**
 * The queues of the scenarios with interceptors. `wrapped` is the queue of sluice, `bare` the same
 * without interceptors, or with their work by hand. Each has `publish` and `handle(take)`, a
 * handler that gets the number of the message.
 */
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { AlwaysOffSampler, BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import * as z from 'zod';
import { intercept, MemoryBackend } from '../../dist/index.js';
import { traced } from '../../dist/opentelemetry/index.js';
import { validated } from '../../dist/schema/index.js';

const passThrough = {
  publish: (message, next) => next(message),
  deliver: (delivery) => delivery,
  process: (_delivery, run) => run(),
};

const Order = z.object({ n: z.number().int(), sku: z.string().min(1), quantity: z.number().positive() });

const plain = (queue) => ({
  queue,
  publish: (n) => queue.publish('bench', { n }),
  handler: (take) => async (delivery) => take(delivery.payload.n),
});

const order = (n) => ({ n, sku: 'apple', quantity: 1 });

/**
 * A traced application has a context manager that is in use in any case. Up to Node 22, its first
 * use makes every promise of the process slower.
 */
function traceable() {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  context.with(ROOT_CONTEXT, () => {});
  return new MemoryBackend();
}

export const intercepted = {
  passThrough: {
    wrapped: () => plain(intercept(new MemoryBackend(), passThrough)),
    bare: () => plain(new MemoryBackend()),
  },
  traced: {
    wrapped: () =>
      plain(
        traced(traceable(), {
          tracerProvider: new BasicTracerProvider({ sampler: new AlwaysOffSampler() }),
          propagator: new W3CTraceContextPropagator(),
        }),
      ),
    bare: () => plain(traceable()),
  },
  validated: {
    wrapped: () => {
      const queue = validated(new MemoryBackend(), { bench: Order });
      return { ...plain(queue), publish: (n) => queue.publish('bench', order(n)) };
    },
    bare: () => {
      const queue = new MemoryBackend();
      return {
        queue,
        publish: (n) => {
          const payload = order(n);
          Order.parse(payload);
          return queue.publish('bench', payload);
        },
        handler: (take) => async (delivery) => take(Order.parse(delivery.payload).n),
      };
    },
  },
};
