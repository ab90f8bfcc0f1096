import { lastValueFrom, of, toArray } from 'rxjs';
import {
  AsyncLoopConsumer,
  type DeadLetterFunction,
  type HandlerContext,
  handle,
  MemoryBackend,
  type Outcome,
  route,
  SluiceError,
} from 'sluice';
import { FakeDelivery } from '../support/handling.js';
import { thrownBy } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

interface ShopEvents {
  'orders.created': { readonly id: number };
  'orders.cancelled': { readonly id: number; readonly reason: string };
}

const context: HandlerContext = { signal: new AbortController().signal };
const withKey = (key: string) => new FakeDelivery(1, undefined, { key });

async function shop(): Promise<MemoryBackend<ShopEvents>> {
  const queue = new MemoryBackend<ShopEvents>();
  await queue.publish('orders.created', { id: 1 });
  await queue.publish('orders.cancelled', { id: 2, reason: 'sold out' });
  await queue.close();
  return queue;
}

describe('route', () => {
  it('runs the handler of the key with the delivery and the context', () => {
    const calls: unknown[][] = [];
    const handler = route({
      a: (...call) => void calls.push(['a', ...call]),
      b: (...call) => void calls.push(['b', ...call]),
    });
    const [first, second] = [withKey('b'), withKey('a')];
    handler(first, context);
    handler(second, context);
    expect(calls).toEqual([
      ['b', first, context],
      ['a', second, context],
    ]);
    expect(calls[0]?.[2]).toBe(context);
  });

  it('works with handle, whatever its handlers return', async () => {
    const queue = await shop();
    const results = queue.deliveries().pipe(
      handle(
        route({
          'orders.created': async ({ payload }) => `created ${payload.id}`,
          'orders.cancelled': ({ payload }) => of(payload.reason, payload.id),
        }),
      ),
      toArray(),
    );
    expect(await lastValueFrom(results)).toEqual(expect.arrayContaining(['created 1', 'sold out', 2]));
    expect(queue.unfinished).toBe(0);
  });

  it('works with AsyncLoopConsumer', async () => {
    const queue = await shop();
    const seen: string[] = [];
    const handler = route<ShopEvents>(
      { 'orders.cancelled': async ({ payload }) => void seen.push(payload.reason) },
      { otherwise: async ({ key }) => void seen.push(key) },
    );
    await new AsyncLoopConsumer(queue).run((_payload, delivery, context) => handler(delivery, context));
    expect(seen).toEqual(['orders.created', 'sold out']);
  });

  it('runs `otherwise` for any other key', () => {
    const handler = route({ a: () => 'a' }, { otherwise: ({ key }, { signal }) => `other ${key} ${signal.aborted}` });
    expect([handler(withKey('a'), context), handler(withKey('b'), context)]).toEqual(['a', 'other b false']);
  });

  it('throws for a key without a handler and names the key', () => {
    const error = thrownBy(() => route({ a: () => 'a' })(withKey('b'), context)) as SluiceError;
    expect(SluiceError.is(error)).toBe(true);
    expect(error.message).toContain('no handler for key "b"');
  });

  it('retries and gives up a key without a handler like any other failure', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const statuses: string[] = [];
    const dead: string[] = [];
    const onOutcome = ({ status }: Outcome) => statuses.push(status);
    const deadLetter: DeadLetterFunction = (_delivery, error) => void dead.push((error as Error).message);
    await queue.publish('b', {});
    await queue.close();
    await lastValueFrom(
      queue.deliveries().pipe(
        handle(route({ a: () => 'a' }), {
          retry: { count: 1, delay: 0 },
          deadLetter,
          onOutcome,
          logger: silentLogger,
        }),
      ),
      { defaultValue: undefined },
    );
    expect(statuses).toEqual(['retried', 'dead-lettered']);
    expect(dead).toEqual([expect.stringContaining('no handler for key "b"')]);
  });

  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])(
    'uses no handler of the prototype for the key %p',
    (key) => {
      const otherwise = () => 'otherwise';
      expect(route({}, { otherwise })(withKey(key), context)).toBe('otherwise');
      expect(route(JSON.parse('{}'), { otherwise })(withKey(key), context)).toBe('otherwise');
      expect(route({ [key]: () => 'own' }, { otherwise })(withKey(key), context)).toBe('own');
    },
  );

  it('ignores later changes of the handlers, and undefined ones', () => {
    const handlers: Record<string, (() => string) | undefined> = { a: () => 'a', b: undefined };
    const handler = route(handlers, { otherwise: () => 'otherwise' });
    handlers.b = () => 'b';
    delete handlers.a;
    expect([handler(withKey('a'), context), handler(withKey('b'), context)]).toEqual(['a', 'otherwise']);
  });

  it('throws the error of a handler', () => {
    const problem = new Error('The card has expired');
    const handler = route({
      a: () => {
        throw problem;
      },
    });
    expect(thrownBy(() => handler(withKey('a'), context))).toBe(problem);
  });

  it.each<[string, () => unknown]>([
    ['handlers', () => route(undefined as never)],
    ['handlers', () => route(null as never)],
    ['handlers', () => route((() => {}) as never)],
    ['handlers["a"]', () => route({ a: 'work' as never })],
    ['handlers["a"]', () => route({ a: null as never })],
    ['options', () => route({}, (() => {}) as never)],
    ['otherwise', () => route({}, { otherwise: true as never })],
  ])('names an invalid `%s` in the error', (name, make) => {
    const error = thrownBy(make) as Error;
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(`\`${name}\``);
  });
});
