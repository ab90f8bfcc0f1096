/**
 * One order in one trace: a publish, a handler that fails twice, a dead letter, and its replay.
 * Prints the trace as a tree. A service exports its spans instead, for instance with
 * `@opentelemetry/exporter-trace-otlp-http`.
 *
 *     npx tsx examples/tracing.ts
 */
import { SpanStatusCode, trace } from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { AsyncLoopConsumer, MemoryBackend, receive } from 'sluice';
import { traced } from 'sluice/opentelemetry';
import { replay } from './replay.js';

/** All spans, in the order of their start. */
const spans: ReadableSpan[] = [];
const collector: SpanProcessor = {
  onStart: (span) => void spans.push(span),
  onEnd() {},
  async forceFlush() {},
  async shutdown() {},
};
const provider = new NodeTracerProvider({ spanProcessors: [collector] });
// Also registers the context manager and the propagators of the W3C.
provider.register();

const logger = { debug() {}, warn() {}, error: console.error };
const orders = traced(new MemoryBackend({ name: 'orders', logger }), { process: 'parent' });
const failed = traced(new MemoryBackend({ name: 'orders.failed', logger }), { process: 'parent' });
const tracer = trace.getTracer('example');

let cardIsValid = false;

const billing = new AsyncLoopConsumer(orders, { retry: { count: 1, delay: 10 }, deadLetter: failed, logger });
const running = billing.run(async () => {
  // A child of the span of the handler.
  await tracer.startActiveSpan('charge card', async (span) => {
    span.end();
    if (!cardIsValid) throw new Error('The card has expired');
  });
});

await tracer.startActiveSpan('POST /orders', async (request) => {
  await orders.publish('orders.placed', { order: 1 });
  request.end();
});

// Waits for the dead letter, and puts it back.
await (await receive(failed)).release();
cardIsValid = true;
await replay(failed, [orders]);
await orders.join();
await billing.shutdown();
await running;

printTree();

/** Prints each span under its parent. */
function printTree(parent?: string, indent = ''): void {
  for (const span of spans.filter(({ parentSpanContext }) => parentSpanContext?.spanId === parent)) {
    const { 'sluice.attempt': attempt, 'sluice.outcome': outcome } = span.attributes;
    const handled = attempt === undefined ? '' : `, attempt ${attempt}: ${outcome}`;
    const error = span.status.code === SpanStatusCode.ERROR ? ` (${span.status.message})` : '';
    console.log(`${indent}${span.name}${handled}${error}`);
    printTree(span.spanContext().spanId, `${indent}  `);
  }
}
