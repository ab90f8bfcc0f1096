import * as sluice from 'sluice';
import { MemoryBackend, type QueueBackend } from 'sluice';
import { createObserver, type Observer } from '../picture/observe';
import { replacements } from '../playground/observed';

const silent = { debug: () => {}, warn: () => {}, error: () => {} };

/** The replacements, with an observer that they use. */
function observed(): ReturnType<typeof replacements> & { readonly observer: Observer; names(): Promise<string[]> } {
  const observer = createObserver(sluice, () => 0);
  const names = async (): Promise<string[]> => (await observer.snapshot()).queues.map(({ name }) => name);
  return { ...replacements(sluice, observer), observer, names };
}

/** A name that no other test uses: the queues of `fromEnv` belong to the process. */
let count = 0;
const uniqueName = (): string => `observed-${++count}`;

describe('the class of the observed queues', () => {
  it('makes queues that are observed, and are of the real class', async () => {
    const { MemoryBackend: Observed, names, observer } = observed();
    const queue = new Observed({ name: 'orders', capacity: 2 });
    expect(queue).toBeInstanceOf(Observed);
    expect(queue).toBeInstanceOf(MemoryBackend);
    await queue.publish('a', { id: 1 });
    expect(queue.size).toBe(1);
    expect(await names()).toEqual(['orders']);
    const [view] = (await observer.snapshot()).queues;
    expect(view).toMatchObject({ name: 'orders', capacity: 2, published: 1 });
  });

  it('takes real queues for its own, and no other objects', () => {
    const { MemoryBackend: Observed } = observed();
    expect(new MemoryBackend()).toBeInstanceOf(Observed);
    expect({}).not.toBeInstanceOf(Observed);
  });

  it('has the name and the prototype of the real class', () => {
    const { MemoryBackend: Observed } = observed();
    expect(Observed.name).toBe('MemoryBackend');
    expect(Observed.prototype).toBe(MemoryBackend.prototype);
  });

  it('refuses what the real class refuses', () => {
    const { MemoryBackend: Observed } = observed();
    const message = (create: () => unknown): string => {
      try {
        create();
      } catch (error) {
        return String(error);
      }
      throw new Error('Expected an error');
    };
    const invalid = { capacity: -1 };
    expect(message(() => new Observed(invalid))).toBe(message(() => new MemoryBackend(invalid)));
    expect(message(() => (Observed as unknown as () => void)())).toMatch(/^TypeError: .*new/);
  });

  it('can be extended', async () => {
    const { MemoryBackend: Observed, names } = observed();
    class Orders extends Observed {
      readonly label = 'mine';
      published = 0;

      override async publish(...values: Parameters<MemoryBackend['publish']>): Promise<void> {
        this.published++;
        await super.publish(...values);
      }

      order(id: number): Promise<void> {
        return this.publish('order', { id });
      }

      static create(): Orders {
        return new Orders({ name: 'extended' });
      }
    }
    const queue = Orders.create();
    expect(queue).toBeInstanceOf(Orders);
    expect(queue).toBeInstanceOf(Observed);
    await queue.order(1);
    await queue.publish('order', { id: 2 });
    expect([queue.label, queue.published, queue.size]).toEqual(['mine', 2, 2]);
    expect(await names()).toEqual(['extended']);
  });
});

describe('the queue of the environment', () => {
  it('is the same each time, and observed once', async () => {
    const { MemoryBackend: Observed, names, observer } = observed();
    const name = uniqueName();
    const env = { QUEUE_NAME: name };
    const queue = Observed.fromEnv(env, { logger: silent });
    expect(Observed.fromEnv(env, { logger: silent })).toBe(queue);
    expect(await names()).toEqual([name]);
    // It is not the queue of the library itself.
    expect(MemoryBackend.fromEnv(env, { logger: silent })).not.toBe(queue);
    await queue.publish('a', {});
    expect((await observer.snapshot()).queues[0]).toMatchObject({ published: 1, size: 1 });
  });

  it('is the one of `loadBackend`', async () => {
    const { MemoryBackend: Observed, loadBackend, names } = observed();
    const name = uniqueName();
    const env = { QUEUE_NAME: name };
    const loaded = await loadBackend({ env, logger: silent });
    expect(loaded).toBeInstanceOf(Observed);
    expect(await loadBackend({ env, logger: silent })).toBe(loaded);
    expect(Observed.fromEnv(env, { logger: silent })).toBe(loaded);
    expect(await names()).toEqual([name]);
  });

  it('is another one after it was closed', async () => {
    const { MemoryBackend: Observed } = observed();
    const env = { QUEUE_NAME: uniqueName() };
    const queue = Observed.fromEnv(env, { logger: silent });
    await queue.close();
    expect(Observed.fromEnv(env, { logger: silent })).not.toBe(queue);
  });

  it('refuses what the library refuses', async () => {
    const { loadBackend } = observed();
    const env = { QUEUE_BACKEND: 'nowhere' };
    const real = await sluice.loadBackend({ env }).catch(String);
    expect(typeof real).toBe('string');
    expect(await loadBackend({ env }).catch(String)).toBe(real);
  });

  it('is left alone if it is not in memory', async () => {
    const other = { name: 'other' } as unknown as QueueBackend;
    const library = { ...sluice, loadBackend: (async () => other) as unknown as typeof sluice.loadBackend };
    const { loadBackend } = replacements(
      library,
      createObserver(sluice, () => 0),
    );
    expect(await loadBackend()).toBe(other);
  });
});

interface SetUp extends ReturnType<typeof observed> {
  readonly name: string;
}

const makers: Readonly<Record<string, (given: SetUp) => Promise<sluice.QueueBackend> | sluice.QueueBackend>> = {
  'new MemoryBackend': ({ MemoryBackend, name }) => new MemoryBackend({ name, capacity: 5, groups: ['a', 'b'] }),
  'MemoryBackend.fromEnv': ({ MemoryBackend, name }) =>
    MemoryBackend.fromEnv({ QUEUE_NAME: name, QUEUE_CAPACITY: '5', QUEUE_GROUPS: 'a, b' }, { logger: silent }),
  'loadBackend with variables': ({ loadBackend, name }) =>
    loadBackend({ env: { QUEUE_NAME: name, QUEUE_CAPACITY: '5', QUEUE_GROUPS: 'a,b' }, logger: silent }),
  'loadBackend with groups': ({ loadBackend, name }) =>
    loadBackend({
      name,
      groups: ['a', 'b'],
      env: { QUEUE_CAPACITY: '5', QUEUE_GROUPS: 'of-another-queue' },
      logger: silent,
    }),
};

describe('the picture of a queue', () => {
  it.each(Object.entries(makers))('has its groups before they are used: by %s', async (_name, make) => {
    const given: SetUp = { ...observed(), name: uniqueName() };
    const queue = await make(given);
    expect(queue).toBeInstanceOf(given.MemoryBackend);
    expect(queue).toBeInstanceOf(sluice.MemoryBackend);
    await queue.publish('order', { id: 1 });
    const delivery = await sluice.receive(queue, { group: 'a' });
    await delivery.reject();
    const { queues } = await given.observer.snapshot();
    expect(queues).toHaveLength(1);
    expect(queues[0]).toMatchObject({ name: given.name, capacity: 5, published: 1 });
    expect(queues[0]?.groups.map(({ name, ready, rejected }) => ({ name, ready, rejected }))).toEqual([
      { name: 'a', ready: 0, rejected: 1 },
      { name: 'b', ready: 1, rejected: 0 },
    ]);
    await queue.close();
  });
});
