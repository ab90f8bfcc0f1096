import {
  type Context,
  DiagLogLevel,
  diag,
  SpanStatusCode,
  type TextMapPropagator,
  type TextMapSetter,
} from '@opentelemetry/api';
import { MemoryBackend } from 'sluice';
import { traced } from 'sluice/opentelemetry';
import { silentLogger } from '../support/recording-logger.js';
import { handleNext, Recorder } from './recorder.js';

const recorder = new Recorder();
const errors: string[] = [];

function open(): MemoryBackend {
  return new MemoryBackend({ name: 'orders', logger: silentLogger });
}

function withPropagator(queue: MemoryBackend, propagator: Partial<TextMapPropagator>): MemoryBackend {
  const whole = { inject() {}, extract: (given: Context) => given, fields: () => ['x'], ...propagator };
  return traced(queue, { ...recorder.options, propagator: whole });
}

beforeEach(() => {
  errors.length = 0;
  const ignore = (): void => {};
  const error = (...texts: unknown[]): void => void errors.push(texts.join(' '));
  diag.setLogger(
    { error, warn: ignore, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.ALL, suppressOverrideMessage: true },
  );
});
afterEach(() => diag.disable());

describe('A header of the publisher', () => {
  it('named __proto__ is kept', async () => {
    const queue = open();
    const headers = JSON.parse('{ "__proto__": "mine", "other": "mine" }') as Record<string, string>;
    await traced(queue, recorder.options).publish('key', {}, { headers });
    const [message] = await queue.peek();
    expect(Object.entries(message?.headers ?? {})).toEqual([
      ['traceparent', expect.any(String)],
      ...Object.entries(headers),
    ]);
  });

  it.each([
    ['a traceparent that is no string', { traceparent: 5 }],
    ['a baggage of ill-formed UTF-8', { baggage: '\ud800' }],
  ])('that the queue refuses is not replaced: %s', async (_name, headers) => {
    const queue = open();
    await expect(
      traced(queue, recorder.options).publish('key', {}, { headers: headers as unknown as Record<string, string> }),
    ).rejects.toThrow(`Expected \`headers.${Object.keys(headers)[0]}\` to be a string of well-formed UTF-8`);
    expect(queue.size).toBe(0);
    expect(recorder.span('publish orders').status.code).toBe(SpanStatusCode.ERROR);
  });
});

describe('A propagator', () => {
  const inject = (write: (carrier: Record<string, unknown>, setter: TextMapSetter) => void) => ({
    inject: (_context: Context, carrier: unknown, setter: TextMapSetter) =>
      write(carrier as Record<string, unknown>, setter),
  });

  it.each<[string, Partial<TextMapPropagator>]>([
    ['a number', inject((carrier) => void Object.assign(carrier, { x: 5 }))],
    ['undefined', inject((carrier, setter) => setter.set(carrier, 'x', undefined as never))],
    ['ill-formed UTF-8', inject((carrier, setter) => setter.set(carrier, 'x', '\ud800'))],
    ['a header without a name', inject((carrier, setter) => setter.set(carrier, '', 'x'))],
  ])('that writes %s fails no publish, and is reported', async (_name, propagator) => {
    const queue = open();
    const publisher = withPropagator(queue, propagator);
    await publisher.publish('key', {});
    await publisher.publish('key', {}, { headers: { mine: 'kept' } });
    expect((await queue.peek()).map(({ headers }) => headers)).toEqual([{}, { mine: 'kept' }]);
    expect(errors).toEqual([expect.stringContaining('writing the context of a message failed')]);
  });

  it.each([undefined, null, 'text', {}])('that extracts %p fails no handler, and is reported', async (extracted) => {
    const queue = withPropagator(open(), { extract: () => extracted as unknown as Context });
    await queue.publish('key', {}, { headers: { x: '1' } });
    const [outcome] = await handleNext(queue, 1, () => {});
    expect([outcome?.status, outcome?.error]).toEqual(['acked', undefined]);
    expect(errors).toEqual([expect.stringContaining('reading the context of a message failed')]);
    expect(recorder.ended.map(({ name }) => name)).toEqual(['publish orders', 'process orders']);
  });
});
