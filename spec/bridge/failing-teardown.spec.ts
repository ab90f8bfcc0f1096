import { Observable } from 'rxjs';
import { toAsyncBatches, toAsyncIterable } from 'sluice';
import { full } from '../support/consumers.js';
import { outcomeOf } from '../support/promises.js';
import { runScript } from '../support/run-script.js';

const DONE = { done: true, value: undefined };

/** A source whose teardown throws, so unsubscribing throws, too. */
function fragile(): Observable<number> {
  return new Observable<number>(() => () => {
    throw new Error('teardown');
  });
}

describe.each([
  ['toAsyncIterable', toAsyncIterable],
  ['toAsyncBatches', toAsyncBatches],
] as const)('%s with a source whose teardown throws', (_, iterate) => {
  it.each(['return', 'throw'] as const)('resolves every next() in flight to done on %s()', async (leave) => {
    const iterator = full<unknown>(iterate(fragile()));
    const pending = [iterator.next(), iterator.next()].map(outcomeOf);
    // Called outside of a promise: a synchronous error fails the test.
    const left = outcomeOf<unknown>(iterator[leave](new Error('left')));
    expect(await Promise.all(pending)).toEqual(Array(2).fill({ state: 'fulfilled', value: DONE }));
    expect((await left).state).not.toBe('pending');
    expect(await outcomeOf(iterator.next())).toEqual({ state: 'fulfilled', value: DONE });
  });
});

describe('Aborting a signal', () => {
  it('reaches all listeners, even if the teardown of one source throws', async () => {
    const result = await runScript(`
      import { Observable } from 'rxjs';
      const { MemoryBackend, receive, toAsyncIterable } = sluice;
      // The error has no handler. It must not stop anything else.
      process.on('uncaughtException', () => {});
      process.on('unhandledRejection', () => {});
      const { signal } = globalThis.controller = new AbortController();
      const fragile = new Observable(() => () => { throw new Error('teardown'); });
      const queue = new MemoryBackend({ capacity: 1 });
      const other = new MemoryBackend({ capacity: 1 });
      await other.publish('k', {});
      const waits = {
        fragile: toAsyncIterable(fragile, { signal }).next(),
        bridge: toAsyncIterable(new Observable(), { signal }).next(),
        consume: queue.consume({ signal }).next(),
        receive: receive(queue, { signal }),
        publish: other.publish('k', {}, { signal }),
        join: other.join({ signal }),
      };
      const ends = Object.entries(waits).map(([name, wait]) => [name, wait.then(({ done }) => (done ? 'done' : 'value'), (reason) => reason)]);
      controller.abort('off');
      for (const [name, ended] of ends) {
        const pending = new Promise((resolve) => setTimeout(resolve, 50, 'pending'));
        console.log(name, await Promise.race([ended, pending]));
      }
    `);
    expect(result.output.split('\n')).toEqual([
      'fragile done',
      'bridge done',
      'consume done',
      'receive off',
      'publish off',
      'join off',
    ]);
  });
});
