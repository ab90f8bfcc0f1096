import { context, propagation, SpanStatusCode, trace } from '@opentelemetry/api';
import { defer, firstValueFrom, from, of } from 'rxjs';
import { AsyncLoopConsumer, handle, intercept, MemoryBackend, publishTo } from 'sluice';
import { traced } from 'sluice/opentelemetry';
import { eventually } from '../support/eventually.js';
import { passLater, passThrough } from '../support/pass-through.js';
import { silentLogger } from '../support/recording-logger.js';
import { handleNext, Recorder } from './recorder.js';

const recorder = new Recorder();

function open(name = 'orders'): MemoryBackend {
  return new MemoryBackend({ name, logger: silentLogger });
}

const traceIdOf = (span: { spanContext(): { traceId: string } }) => span.spanContext().traceId;

describe('The spans of a traced queue', () => {
  it('name the operation and the queue, and describe the message', async () => {
    const queue = traced(open(), recorder.options);
    await queue.publish('orders.created', { n: 1 }, { id: 'order-1' });
    await handleNext(queue, 1, () => {});
    expect(recorder.seen).toEqual([
      { name: 'publish orders', kind: 'PRODUCER', parent: undefined, links: [] },
      { name: 'process orders', kind: 'CONSUMER', parent: undefined, links: ['publish orders'] },
    ]);
    expect(recorder.span('publish orders').attributes).toEqual({
      'messaging.system': 'memory',
      'messaging.destination.name': 'orders',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.message.id': 'order-1',
      'sluice.key': 'orders.created',
    });
    expect(recorder.span('process orders').attributes).toEqual({
      'messaging.system': 'memory',
      'messaging.destination.name': 'orders',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.consumer.group.name': 'default',
      'messaging.message.id': 'order-1',
      'sluice.key': 'orders.created',
      'sluice.attempt': 1,
      'sluice.outcome': 'acked',
    });
    for (const { status, ended } of recorder.ended)
      expect({ status, ended }).toEqual({ status: { code: SpanStatusCode.UNSET }, ended: true });
  });

  it('start a trace of its own for each handler, linked to the publish', async () => {
    const queue = traced(open(), { ...recorder.options, process: 'link' });
    await queue.publish('key', {});
    await handleNext(queue, 1, () => {});
    expect(traceIdOf(recorder.span('process orders'))).not.toBe(traceIdOf(recorder.span('publish orders')));
  });

  it('make the handler a child of the publish', async () => {
    const queue = traced(open(), { ...recorder.options, process: 'parent' });
    await recorder.inSpan('request', () => queue.publish('key', {}));
    await handleNext(queue, 1, () => {});
    expect(recorder.seen).toEqual([
      { name: 'publish orders', kind: 'PRODUCER', parent: 'request', links: [] },
      { name: 'request', kind: 'INTERNAL', parent: undefined, links: [] },
      { name: 'process orders', kind: 'CONSUMER', parent: 'publish orders', links: [] },
    ]);
    expect(new Set(recorder.ended.map(traceIdOf)).size).toBe(1);
  });

  it.each(['link', 'parent'] as const)(
    'belong to no span in which the consumer was started, for a message without a context: %s',
    async (process) => {
      const queue = open();
      await queue.publish('key', {});
      await recorder.inSpan('start-up', () => handleNext(traced(queue, { ...recorder.options, process }), 1, () => {}));
      expect(recorder.span('process orders')).toMatchObject({ parentSpanContext: undefined, links: [] });
    },
  );

  it('leave the id to the queue', async () => {
    await traced(open(), recorder.options).publish('key', {});
    expect(recorder.span('publish orders').attributes).not.toHaveProperty('messaging.message.id');
  });

  it('name the group', async () => {
    const queue = traced(new MemoryBackend({ name: 'orders', groups: ['billing', 'audit'] }), recorder.options);
    await queue.publish('key', {});
    for (const group of ['billing', 'audit'])
      await firstValueFrom(queue.deliveries({ group }).pipe(handle(() => group)));
    await recorder.count(3);
    expect(recorder.all('process orders').map(({ attributes }) => attributes['messaging.consumer.group.name'])).toEqual(
      ['billing', 'audit'],
    );
  });

  it('take the system from the queue behind other interceptors', async () => {
    const queue = traced(intercept(intercept(open(), passThrough), passLater), recorder.options);
    await queue.publish('key', {});
    expect(recorder.span('publish orders').attributes['messaging.system']).toBe('memory');
  });

  it('nest, the outermost first', async () => {
    const queue = traced(traced(open(), recorder.options), { ...recorder.options, process: 'parent' });
    await queue.publish('key', {});
    await handleNext(queue, 1, () => {});
    expect(recorder.seen.map(({ name, parent, links }) => [name, parent, ...links])).toEqual([
      ['publish orders', 'publish orders'],
      ['publish orders', undefined],
      ['process orders', undefined, 'publish orders'],
      ['process orders', 'publish orders'],
    ]);
  });

  it('surround the interceptors inside', async () => {
    const active: unknown[] = [];
    const note = () => void active.push((trace.getActiveSpan() as { name?: string } | undefined)?.name);
    const inner = intercept(open(), {
      publish: (message, next) => {
        note();
        return next(message);
      },
      process: (_delivery, run) => {
        note();
        return run();
      },
    });
    const queue = traced(inner, recorder.options);
    await queue.publish('key', {});
    await handleNext(queue, 1, note);
    expect(active).toEqual(['publish orders', 'process orders', 'process orders']);
  });
});

describe('The spans of `publishTo`', () => {
  it('belong to the trace of the headers that it passes on', async () => {
    const orders = traced(open(), recorder.options);
    const invoices = traced(open('invoices'), recorder.options);
    await orders.publish('key', {});
    await firstValueFrom(
      orders.deliveries().pipe(
        handle(async (delivery) => delivery),
        publishTo(invoices, ({ payload, headers }) => ['key', payload, { headers }]),
      ),
    );
    expect(recorder.seen.find(({ name }) => name === 'publish invoices')?.parent).toBe('publish orders');
  });
});

describe('The context of a traced handler', () => {
  const activeName = () => (trace.getActiveSpan() as { name?: string } | undefined)?.name;

  it.each([
    ['plain', () => activeName()],
    [
      'asynchronous',
      async () => {
        await new Promise(setImmediate);
        return activeName();
      },
    ],
    ['Observable', () => defer(() => of(activeName()))],
    ['Promise in an Observable', () => from(Promise.resolve().then(activeName))],
    [
      'generator',
      async function* () {
        await new Promise(setImmediate);
        yield activeName();
      },
    ],
  ])('is that of its span: %s', async (_name, handler) => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    const result = await firstValueFrom(queue.deliveries().pipe(handle(handler as () => unknown)));
    expect(result).toBe('process orders');
  });

  it('has the baggage of the publisher, and not that of the starter', async () => {
    const withBaggage = (value: string, run: () => unknown) =>
      context.with(propagation.setBaggage(context.active(), propagation.createBaggage({ tenant: { value } })), run);
    const queue = traced(open(), recorder.options);
    await withBaggage('publisher', () => queue.publish('key', {}));
    await queue.publish('key', {});
    const seen: unknown[] = [];
    await withBaggage('starter', () =>
      handleNext(queue, 2, () => {
        seen.push(propagation.getActiveBaggage()?.getEntry('tenant')?.value);
      }),
    );
    expect(seen).toEqual(['publisher', undefined]);
  });

  it('keeps other values of the context in which the consumer was started', async () => {
    const key = Symbol('key');
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    let value: unknown;
    await context.with(context.active().setValue(key, 'kept'), () =>
      handleNext(queue, 1, () => {
        value = context.active().getValue(key);
      }),
    );
    expect(value).toBe('kept');
  });

  it('is the parent of what the handler publishes', async () => {
    const orders = traced(open(), recorder.options);
    const invoices = traced(open('invoices'), recorder.options);
    await orders.publish('key', {});
    await handleNext(orders, 1, async () => {
      await Promise.resolve();
      await invoices.publish('key', {});
    });
    expect(recorder.seen.find(({ name }) => name === 'publish invoices')?.parent).toBe('process orders');
  });

  it('is that of the span in an AsyncLoopConsumer', async () => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', { n: 1 });
    const consumer = new AsyncLoopConsumer(queue, { logger: silentLogger });
    const seen: unknown[] = [];
    const running = consumer.run(async (payload) => {
      await Promise.resolve();
      seen.push(payload, activeName());
    });
    await recorder.count(2);
    await consumer.shutdown();
    await running;
    expect(seen).toEqual([{ n: 1 }, 'process orders']);
    await eventually(() => recorder.all('process orders').length === 1);
  });
});
