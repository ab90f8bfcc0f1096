import { context, propagation, trace } from '@opentelemetry/api';
import { filter, map } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { handle, MemoryBackend, type QueueBackend } from 'sluice';
import { traced } from 'sluice/opentelemetry';
import { type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { systemOf } from '../../src/internal/system.js';
import { LayeredContext, layered } from '../../src/opentelemetry/layered-context.js';
import { testEach } from '../support/contract-cases.js';
import { MEMORY_CAPABILITIES } from '../support/memory-capabilities.js';
import { silentLogger } from '../support/recording-logger.js';
import { handleNext, Recorder } from './recorder.js';

const recorder = new Recorder();

function open(): MemoryBackend {
  return new MemoryBackend({ name: 'orders', logger: silentLogger });
}

describe('traced', () => {
  it.each<[object, string]>([
    [{ tracerProvider: {} }, '`tracerProvider`'],
    [{ meterProvider: null }, '`meterProvider`'],
    [{ propagator: { inject() {}, extract() {} } }, '`propagator`'],
    [{ process: 'child' }, '`process`'],
    [{ process: 1 }, '`process`'],
  ])('names an invalid option: %p', (options, name) => {
    expect(() => traced(open(), options)).toThrow(name);
  });

  it('refuses what is no queue, and options that are no object', () => {
    expect(() => traced({} as QueueBackend)).toThrow('`queue`');
    expect(() => traced(open(), 'link' as never)).toThrow('`options`');
  });

  it('returns a queue with the members of the given one', async () => {
    const queue = traced(open(), recorder.options);
    expect(queue).toBeInstanceOf(MemoryBackend);
    await queue.publish('key', {});
    expect([queue.name, queue.size, await queue.stats()]).toEqual(['orders', 1, { ready: 1, unfinished: 1 }]);
    expect(systemOf(queue)).toBe('memory');
  });

  it('calls a queue sluice that does not tell its system', () => {
    expect(systemOf({})).toBe('sluice');
  });

  it('takes effect within the call on memory', async () => {
    const memory = open();
    const queue = traced(memory, recorder.options);
    const handled: unknown[] = [];
    const running = queue
      .deliveries()
      .pipe(handle(({ payload }) => void handled.push(payload)))
      .subscribe();
    void queue.publish('key', { n: 1 });
    expect([handled, memory.unfinished]).toEqual([[{ n: 1 }], 0]);
    await recorder.count(2);
    running.unsubscribe();
  });

  it('keeps virtual time', async () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    scheduler.run(({ cold, expectObservable }) => {
      const queue = traced(new MemoryBackend({ name: 'orders', scheduler, logger: silentLogger }), recorder.options);
      cold('a-b---c', { a: 0, b: 3, c: 0 }).subscribe((delay) => void queue.publish('key', { delay }, { delay }));
      const results = queue.deliveries().pipe(
        handle(({ payload }) => (payload as { delay: number }).delay, { scheduler }),
        filter((value) => value !== undefined),
        map(String),
      );
      expectObservable(results, '^-------!').toBe('a----bc', { a: '0', b: '3', c: '0' });
    });
    await recorder.count(6);
  });

  it('changes nothing without an SDK', async () => {
    context.disable();
    propagation.disable();
    trace.disable();
    const queue = traced(open());
    await queue.publish('key', { n: 1 }, { headers: { mine: 'kept' } });
    const seen: unknown[] = [];
    const [outcome] = await handleNext(queue, 1, ({ payload, headers }) => void seen.push(payload, headers));
    expect([outcome?.status, seen]).toEqual(['acked', [{ n: 1 }, { mine: 'kept' }]]);
    expect(recorder.ended).toEqual([]);
  });
});

describe('Contract of a traced queue', () => {
  const create = async ({ name, groups = ['default'], dedupeWindow, logger = silentLogger }: BackendNeeds = {}) =>
    traced(new MemoryBackend({ name, groups, dedupeWindow, logger, validate: 'json' }), {
      tracerProvider: recorder.tracers,
      // The contract compares headers.
      propagator: { inject() {}, extract: (given) => given, fields: () => [] },
    });
  testEach(queueBackendContract(create, { ...MEMORY_CAPABILITIES, groups: 'separate', validation: 'json' }));
});

describe('A layered context', () => {
  const [first, second] = [Symbol('first'), Symbol('second')];

  it('adds, replaces and deletes values, and changes no other context', () => {
    const base = new LayeredContext().setValue(first, 1);
    const both = base.setValue(second, 2);
    expect([both.getValue(first), both.getValue(second)]).toEqual([1, 2]);
    expect(both.setValue(first, 3).getValue(first)).toBe(3);
    expect(both.deleteValue(first).getValue(first)).toBeUndefined();
    expect([base.getValue(first), base.getValue(second)]).toEqual([1, undefined]);
    expect(layered(both)).toBe(both);
  });

  it('is copied when it has many layers', () => {
    let current = layered(context.active()).setValue(first, 'kept');
    for (let n = 0; n < 100_000; n++) current = current.setValue(second, n);
    expect([current.getValue(first), current.getValue(second)]).toEqual(['kept', 99_999]);
  });
});
