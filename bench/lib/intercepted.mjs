/**
 * The queues of the scenarios with interceptors. `wrapped` is the queue of sluice, `bare` the same
 * without interceptors, or with the work of a schema by hand, and `byHand` with that of `traced`. Each has `publish` and `handle(take)`, a
 * handler that gets the number of the message.
 */
import { context, defaultTextMapGetter, defaultTextMapSetter, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { AlwaysOffSampler, BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import * as z from 'zod';
import { load } from './dist.mjs';

const { intercept, MemoryBackend } = await load('index');
const { traced } = await load('opentelemetry/index');
const { validated } = await load('schema/index');

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

const telemetry = {
  tracerProvider: new BasicTracerProvider({ sampler: new AlwaysOffSampler() }),
  propagator: new W3CTraceContextPropagator(),
};

const attributes = (name, type) => ({
  'messaging.system': 'memory',
  'messaging.destination.name': 'default',
  'messaging.operation.name': name,
  'messaging.operation.type': type,
});

/** The calls of the SDK that an application without `traced` writes around its own. */
function tracedByHand(queue) {
  const { propagator } = telemetry;
  const tracer = telemetry.tracerProvider.getTracer('bench');
  const publishing = { kind: SpanKind.PRODUCER, attributes: attributes('publish', 'send') };
  const processing = attributes('process', 'process');
  return {
    queue,
    async publish(n) {
      const span = tracer.startSpan('publish default', publishing);
      const active = trace.setSpan(context.active(), span);
      const headers = {};
      propagator.inject(active, headers, defaultTextMapSetter);
      await context.with(active, () => queue.publish('bench', { n }, { headers }));
      span.end();
    },
    handler: (take) => async (delivery) => {
      const parent = propagator.extract(context.active(), delivery.headers, defaultTextMapGetter);
      const links = [{ context: trace.getSpanContext(parent) }];
      const options = { kind: SpanKind.CONSUMER, attributes: processing, links, root: true };
      const span = tracer.startSpan('process default', options, parent);
      await context.with(trace.setSpan(parent, span), async () => take(delivery.payload.n));
      span.end();
    },
  };
}

export const intercepted = {
  passThrough: {
    wrapped: () => plain(intercept(new MemoryBackend(), passThrough)),
    bare: () => plain(new MemoryBackend()),
  },
  traced: {
    wrapped: () => plain(traced(traceable(), telemetry)),
    bare: () => plain(traceable()),
    byHand: () => tracedByHand(traceable()),
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
