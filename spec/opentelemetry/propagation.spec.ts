import { context, propagation, trace } from '@opentelemetry/api';
import { handle, MemoryBackend } from 'sluice';
import { traced } from 'sluice/opentelemetry';
import { replay } from '../../examples/replay.js';
import { silentLogger } from '../support/recording-logger.js';
import { handleNext, Recorder, w3c } from './recorder.js';

const recorder = new Recorder();

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`;

function open(name = 'orders'): MemoryBackend {
  return new MemoryBackend({ name, logger: silentLogger });
}

/** Returns the headers of the waiting messages. */
async function headersIn(queue: MemoryBackend): Promise<unknown[]> {
  return (await queue.peek()).map(({ headers }) => headers);
}

const traceparentOf = (name: string) => {
  const { traceId, spanId } = recorder.span(name).spanContext();
  return `00-${traceId}-${spanId}-01`;
};

describe('The headers of a traced publish', () => {
  it('carry the context of its span, besides those of the publisher', async () => {
    const queue = open();
    const headers = Object.freeze({ mine: 'kept' });
    await traced(queue, recorder.options).publish('key', {}, { headers });
    expect(await headersIn(queue)).toEqual([{ mine: 'kept', traceparent: traceparentOf('publish orders') }]);
    expect(headers).toEqual({ mine: 'kept' });
  });

  it('carry the baggage', async () => {
    const queue = open();
    const baggage = propagation.createBaggage({ tenant: { value: 'acme' } });
    await context.with(propagation.setBaggage(context.active(), baggage), () =>
      traced(queue, recorder.options).publish('key', {}),
    );
    expect(await headersIn(queue)).toEqual([{ traceparent: traceparentOf('publish orders'), baggage: 'tenant=acme' }]);
  });

  it('keep the other options of the publish', async () => {
    const queue = open();
    await traced(queue, recorder.options).publish('key', {}, { delay: 60_000, id: 'id' });
    expect(await queue.peek()).toMatchObject([{ id: 'id', due: expect.any(Number) }]);
    queue.clear();
  });

  it('replace a context that the message carries, which is the parent', async () => {
    const queue = open();
    const headers = { traceparent: TRACEPARENT, tracestate: 'vendor=1', baggage: 'tenant=acme', mine: 'kept' };
    await traced(queue, recorder.options).publish('key', {}, { headers });
    const span = recorder.span('publish orders');
    expect(span.spanContext().traceId).toBe(TRACE);
    expect(span.parentSpanContext).toMatchObject({ spanId: SPAN, isRemote: true });
    expect(span.links).toEqual([]);
    expect(await headersIn(queue)).toEqual([{ ...headers, traceparent: traceparentOf('publish orders') }]);
  });

  it('link to a context that the message carries while a span is active', async () => {
    const queue = open();
    const headers = { traceparent: TRACEPARENT, tracestate: 'vendor=1', baggage: 'tenant=acme' };
    await recorder.inSpan('request', () => traced(queue, recorder.options).publish('key', {}, { headers }));
    expect(recorder.seen[0]).toMatchObject({ parent: 'request', links: [`other ${SPAN}`] });
    // The state belongs to the other trace, the baggage to the message.
    expect(await headersIn(queue)).toEqual([{ traceparent: traceparentOf('publish orders'), baggage: 'tenant=acme' }]);
  });

  it('do not link to the active span', async () => {
    await recorder.inSpan('request', async () => {
      const headers: Record<string, string> = {};
      propagation.inject(context.active(), headers);
      await traced(open(), recorder.options).publish('key', {}, { headers });
    });
    expect(recorder.seen[0]).toMatchObject({ parent: 'request', links: [] });
  });

  it.each(['', 'broken', `00-${TRACE}-${SPAN}`, `00-${'0'.repeat(32)}-${SPAN}-01`, `ff-${TRACE}-${SPAN}-01`])(
    'are ignored if they are broken: %p',
    async (traceparent) => {
      const queue = open();
      await queue.publish('key', {}, { headers: { traceparent, tracestate: '=,;' } });
      const [outcome] = await handleNext(traced(queue, recorder.options), 1, () => {});
      expect(outcome?.status).toBe('acked');
      expect(recorder.span('process orders')).toMatchObject({ parentSpanContext: undefined, links: [] });
      await traced(queue, recorder.options).publish('key', {}, { headers: { traceparent } });
      expect(await headersIn(queue)).toEqual([{ traceparent: traceparentOf('publish orders') }]);
    },
  );

  it('stay as they are without a propagator', async () => {
    const queue = open();
    propagation.disable();
    const headers = { traceparent: TRACEPARENT };
    try {
      await traced(queue).publish('key', {}, { headers });
      await traced(queue).publish('key', {});
    } finally {
      propagation.setGlobalPropagator(w3c);
    }
    expect(await headersIn(queue)).toEqual([headers, {}]);
  });

  it('continue a trace in a loop', async () => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    for await (const { headers } of queue.deliveries()) {
      const parent = propagation.extract(context.active(), headers);
      recorder.tracer.startSpan('loop', {}, parent).end();
      break;
    }
    expect(recorder.seen.find(({ name }) => name === 'loop')?.parent).toBe('publish orders');
  });
});

describe('A dead letter', () => {
  const failing = { retry: { count: 1, delay: 0 }, logger: silentLogger };
  const handlers: [string, () => unknown][] = [
    [
      'synchronous',
      () => {
        throw new Error('broken');
      },
    ],
    [
      'asynchronous',
      async () => {
        await new Promise(setImmediate);
        throw new Error('broken');
      },
    ],
  ];

  it.each(handlers)('stays in the trace of its message: %s', async (_name, handler) => {
    const failed = traced(open('failed'), recorder.options);
    const queue = traced(open(), recorder.options);
    await recorder.inSpan('request', () => queue.publish('key', {}));
    await handleNext(queue, 2, handler, { ...failing, deadLetter: failed });
    expect(recorder.seen.find(({ name }) => name === 'publish failed')).toMatchObject({
      parent: 'publish orders',
      links: [],
    });
  });

  it('stays in the trace of its message if its consumer was started in a span', async () => {
    const failed = traced(open('failed'), recorder.options);
    const queue = traced(open(), recorder.options);
    await recorder.inSpan('request', () => queue.publish('key', {}));
    const broken = () => Promise.reject(new Error('broken'));
    await recorder.inSpan('start-up', () => handleNext(queue, 2, broken, { ...failing, deadLetter: failed }));
    expect(recorder.seen.find(({ name }) => name === 'publish failed')).toMatchObject({ parent: 'publish orders' });
  });

  it.each(handlers)('does not get into the trace of another message: %s', async (_name, handler) => {
    const failed = traced(open('failed'), recorder.options);
    const queue = traced(open(), { ...recorder.options, process: 'parent' });
    const outcomes: string[] = [];
    const running = queue
      .deliveries({ prefetch: 1 })
      .pipe(
        handle(handler, {
          ...failing,
          retry: { count: 0 },
          deadLetter: failed,
          onOutcome: ({ status }) => outcomes.push(status),
        }),
      )
      .subscribe();
    await Promise.all([1, 2, 3].map((n) => recorder.inSpan(`request ${n}`, () => queue.publish('key', { n }))));
    await recorder.count(12);
    running.unsubscribe();
    for (const span of recorder.all('publish failed')) {
      const parent = recorder
        .all('publish orders')
        .find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId);
      expect(parent?.spanContext().traceId).toBe(span.spanContext().traceId);
    }
    expect(new Set(recorder.all('publish failed').map((span) => span.spanContext().traceId)).size).toBe(3);
  });

  it('keeps the context of its message in a queue that is not traced', async () => {
    const failed = open('failed');
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    await handleNext(queue, 2, () => Promise.reject(new Error('broken')), { ...failing, deadLetter: failed });
    expect(await headersIn(failed)).toEqual([
      expect.objectContaining({ traceparent: traceparentOf('publish orders'), 'sluice-error': 'Error: broken' }),
    ]);
  });

  it('keeps its trace when it is replayed', async () => {
    const failed = traced(open('failed'), { ...recorder.options, process: 'parent' });
    const queue = traced(open(), { ...recorder.options, process: 'parent' });
    await queue.publish('key', {});
    let isBroken = true;
    const handler = async () => {
      if (isBroken) throw new Error('broken');
    };
    await handleNext(queue, 2, handler, { ...failing, deadLetter: failed });
    isBroken = false;
    await replay(failed, [queue]);
    await handleNext(queue, 1, handler);
    expect(recorder.seen.map(({ name, parent }) => [name, parent])).toEqual([
      ['publish orders', undefined],
      ['process orders', 'publish orders'],
      ['publish failed', 'publish orders'],
      ['process orders', 'publish orders'],
      ['publish orders', 'publish failed'],
      ['process orders', 'publish orders'],
    ]);
    expect(new Set(recorder.ended.map((span) => span.spanContext().traceId)).size).toBe(1);
    expect(trace.getActiveSpan()).toBeUndefined();
  });
});
