import {
  type DiagLogger,
  DiagLogLevel,
  diag,
  SpanStatusCode,
  type TextMapPropagator,
  type Tracer,
} from '@opentelemetry/api';
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { handle, MemoryBackend, UnrecoverableError } from 'sluice';
import { type TracedOptions, traced } from 'sluice/opentelemetry';
import { silentLogger } from '../support/recording-logger.js';
import { handleNext, Recorder } from './recorder.js';

const recorder = new Recorder();

const fail = (): never => {
  throw new Error('broken telemetry');
};

function open(): MemoryBackend {
  return new MemoryBackend({ name: 'orders', logger: silentLogger, validate: 'json' });
}

const exceptionOf = ({ events }: ReadableSpan) => events.find(({ name }) => name === 'exception')?.attributes;

describe('A failed publish', () => {
  it('ends its span with the error', async () => {
    const queue = traced(open(), recorder.options);
    await queue.close();
    await expect(queue.publish('key', {})).rejects.toThrow('Queue "orders" is closed');
    const span = recorder.span('publish orders');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'Queue "orders" is closed' });
    expect(span.attributes['error.type']).toBe('QueueClosedError');
    expect(exceptionOf(span)).toMatchObject({
      'exception.type': 'QueueClosedError',
      'exception.message': 'Queue "orders" is closed',
      'exception.stacktrace': expect.stringContaining('at '),
    });
  });

  it('shows nothing of an invalid message', async () => {
    const queue = traced(open(), recorder.options);
    await expect(queue.publish('key', 'secret' as never)).rejects.toThrow('"secret"');
    await expect(queue.publish('secret\ud800', {})).rejects.toThrow('key');
    await expect(queue.publish('key', {}, { headers: ['secret'] as never })).rejects.toThrow('headers');
    expect(recorder.all('publish orders').map(({ attributes }) => attributes['error.type'])).toEqual(
      Array(3).fill('InvalidMessageError'),
    );
    for (const { attributes, events, status } of recorder.ended)
      expect(JSON.stringify([attributes, events, status])).not.toContain('secret');
  });
});

describe('A failed handler', () => {
  it('ends its span with the error, one span for each attempt', async () => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    const failures = [new RangeError('first'), new UnrecoverableError('second')];
    await handleNext(
      queue,
      2,
      () => {
        throw failures.shift();
      },
      { retry: { count: 5, delay: 0 }, logger: silentLogger },
    );
    const spans = recorder.all('process orders');
    expect(
      spans.map(({ attributes }) => [
        attributes['sluice.attempt'],
        attributes['sluice.outcome'],
        attributes['error.type'],
      ]),
    ).toEqual([
      [1, 'retried', 'RangeError'],
      [2, 'rejected', 'UnrecoverableError'],
    ]);
    expect(spans.map(({ status }) => status)).toEqual([
      { code: SpanStatusCode.ERROR, message: 'first' },
      { code: SpanStatusCode.ERROR, message: 'second' },
    ]);
    for (const { links } of spans)
      expect(links.map(({ context }) => context.spanId)).toEqual([
        recorder.span('publish orders').spanContext().spanId,
      ]);
  });

  it('that is retried in place has a span for each attempt', async () => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    let runs = 0;
    const handler = () => {
      if (++runs < 3) throw new Error(`run ${runs}`);
    };
    await handleNext(queue, 3, handler, { orderBy: 'key', retry: { count: 5, delay: 0 }, logger: silentLogger });
    expect(
      recorder
        .all('process orders')
        .map(({ attributes }) => [attributes['sluice.attempt'], attributes['sluice.outcome']]),
    ).toEqual([
      [1, 'retried'],
      [2, 'retried'],
      [3, 'acked'],
    ]);
  });

  it.each([
    ['a string', 'secret'],
    ['an object', { secret: 1 }],
    ['undefined', undefined],
    ['an error with a name of its own', Object.assign(new Error('message'), { name: 'Order 4711 failed' })],
    ['an error that cannot be read', new Proxy(new Error(), { get: fail })],
  ])('has the type _OTHER: %s', async (_name, thrown) => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    await handleNext(
      queue,
      1,
      () => {
        throw thrown;
      },
      { logger: silentLogger },
    );
    const { attributes, status, events } = recorder.span('process orders');
    expect([attributes['error.type'], status.code]).toEqual(['_OTHER', SpanStatusCode.ERROR]);
    expect(attributes['sluice.outcome']).toBe('rejected');
    expect(JSON.stringify([attributes, status, events])).not.toContain('secret');
  });

  it('that settles by hand has no error, unless it gives a reason', async () => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 });
    await handleNext(
      queue,
      2,
      async (delivery) => {
        await delivery.reject((delivery.payload as { n: number }).n === 1 ? undefined : new Error('reason'));
      },
      { logger: silentLogger },
    );
    expect(
      recorder.all('process orders').map(({ attributes, status }) => [attributes['sluice.outcome'], status.code]),
    ).toEqual([
      ['rejected', SpanStatusCode.UNSET],
      ['rejected', SpanStatusCode.ERROR],
    ]);
  });

  it('that is unsubscribed from ends its span as released', async () => {
    const queue = traced(open(), recorder.options);
    await queue.publish('key', {});
    let started = false;
    const running = queue
      .deliveries()
      .pipe(
        handle(() => {
          started = true;
          return new Promise(() => {});
        }),
      )
      .subscribe();
    expect(started).toBe(true);
    expect(recorder.all('process orders')).toEqual([]);
    running.unsubscribe();
    await recorder.count(2);
    const { attributes, status } = recorder.span('process orders');
    expect([attributes['sluice.outcome'], status.code]).toEqual(['released', SpanStatusCode.UNSET]);
  });
});

describe('Broken telemetry', () => {
  const errors: string[] = [];
  const logger: DiagLogger = {
    error: (...texts) => void errors.push(texts.join(' ')),
    warn() {},
    info() {},
    debug() {},
    verbose() {},
  };

  beforeEach(() => {
    errors.length = 0;
    diag.setLogger(logger, { logLevel: DiagLogLevel.ALL, suppressOverrideMessage: true });
  });
  afterEach(() => diag.disable());

  const processor = (broken: Partial<SpanProcessor>): SpanProcessor => ({
    onStart() {},
    onEnd() {},
    forceFlush: async () => {},
    shutdown: async () => {},
    ...broken,
  });
  const propagator = (broken: Partial<TextMapPropagator>): TextMapPropagator => ({
    inject() {},
    extract: (context) => context,
    fields: () => ['traceparent'],
    ...broken,
  });
  const tracers = (spanProcessor: SpanProcessor, sampler: Sampler = new AlwaysOnSampler()): TracedOptions => ({
    tracerProvider: new BasicTracerProvider({ sampler, spanProcessors: [spanProcessor] }),
  });
  const brokenSpan = new Proxy({}, { get: (_, name) => (name === 'spanContext' ? () => ({}) : fail) });

  it.each<[string, () => TracedOptions, string[]]>([
    ['a tracer provider', () => ({ tracerProvider: { getTracer: fail } }), ['creating the tracer']],
    [
      'a tracer',
      () => ({ tracerProvider: { getTracer: () => ({ startSpan: fail }) as unknown as Tracer } }),
      ['starting a span'],
    ],
    [
      'a span',
      () => ({ tracerProvider: { getTracer: () => ({ startSpan: () => brokenSpan }) as unknown as Tracer } }),
      ['describing a span', 'ending a span', 'recording an error'],
    ],
    ['a sampler', () => tracers(processor({}), { shouldSample: fail, toString: () => 'broken' }), ['starting a span']],
    ['the start of a processor', () => tracers(processor({ onStart: fail })), ['starting a span']],
    ['the end of a processor', () => tracers(processor({ onEnd: fail })), ['ending a span']],
    ['the extraction', () => ({ propagator: propagator({ extract: fail }) }), ['reading the context of a message']],
    ['the injection', () => ({ propagator: propagator({ inject: fail }) }), ['writing the context of a message']],
    [
      'the fields of a propagator',
      () => ({
        propagator: propagator({
          fields: fail,
          inject: (_c, carrier) => {
            (carrier as { traceparent: string }).traceparent = 'x';
          },
        }),
      }),
      ['reading the context of a message', 'writing the context of a message'],
    ],
    ['a meter provider', () => ({ meterProvider: { getMeter: fail } }), ['creating the metrics']],
    [
      'an exporter',
      () => tracers(new SimpleSpanProcessor({ export: fail, shutdown: async () => {} } as unknown as SpanExporter)),
      [],
    ],
  ])('does not fail a publish or a handler: %s', async (_name, options, reported) => {
    const queue = traced(open(), { ...recorder.options, ...options() });
    const handled: unknown[] = [];
    await queue.publish('key', { n: 1 }, { headers: { traceparent: 'old', mine: 'kept' } });
    await queue.publish('key', { n: 2 });
    const outcomes = await handleNext(
      queue,
      2,
      ({ payload, headers }) => {
        handled.push(payload, headers.mine);
        if (handled.length === 2) throw new Error('handler');
      },
      { logger: silentLogger },
    );
    expect(handled).toEqual([{ n: 1 }, 'kept', { n: 2 }, undefined]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'acked']);
    const found = errors.filter((text) => text.startsWith('sluice: '));
    expect(
      found
        .map((text) => /^sluice: (.*?) failed for queue "orders"; logged once Error: broken telemetry/.exec(text)?.[1])
        .toSorted(),
    ).toEqual(reported);
  });

  it('does not fail a message when its report fails, too', async () => {
    diag.setLogger({ ...logger, error: fail }, { logLevel: DiagLogLevel.ALL, suppressOverrideMessage: true });
    const queue = traced(open(), { ...recorder.options, ...tracers(processor({ onStart: fail })) });
    await queue.publish('key', {});
    expect((await handleNext(queue, 1, () => {})).map(({ status }) => status)).toEqual(['acked']);
  });
});
