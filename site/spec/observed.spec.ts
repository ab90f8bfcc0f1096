import * as sluice from 'sluice';
import { createObserver } from '../picture/observe.js';
import { replacements } from '../playground/observed.js';

const logger = { debug() {}, warn() {}, error() {} };
let number = 0;

function setUp() {
  const observer = createObserver(sluice, () => 0);
  return { observer, name: `observed-${++number}`, ...replacements(sluice, observer) };
}

type SetUp = ReturnType<typeof setUp>;

const makers: Readonly<Record<string, (given: SetUp) => Promise<sluice.QueueBackend> | sluice.QueueBackend>> = {
  'new MemoryBackend': ({ MemoryBackend, name }) => new MemoryBackend({ name, capacity: 5, groups: ['a', 'b'] }),
  'MemoryBackend.fromEnv': ({ MemoryBackend, name }) =>
    MemoryBackend.fromEnv({ QUEUE_NAME: name, QUEUE_CAPACITY: '5', QUEUE_GROUPS: 'a, b' }, { logger }),
  'loadBackend with variables': ({ loadBackend, name }) =>
    loadBackend({ env: { QUEUE_NAME: name, QUEUE_CAPACITY: '5', QUEUE_GROUPS: 'a,b' }, logger }),
  'loadBackend with groups': ({ loadBackend, name }) =>
    loadBackend({ name, groups: ['a', 'b'], env: { QUEUE_CAPACITY: '5', QUEUE_GROUPS: 'of-another-queue' }, logger }),
};

describe('A queue of the playground', () => {
  it.each(Object.entries(makers))('is shown with its groups: by %s', async (_name, make) => {
    const given = setUp();
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

  it('is one queue for all callers of its name', async () => {
    const { MemoryBackend, loadBackend, observer, name } = setUp();
    const env = { QUEUE_NAME: name };
    const queue = MemoryBackend.fromEnv(env, { logger });
    expect(MemoryBackend.fromEnv(env, { logger })).toBe(queue);
    await expect(loadBackend({ env, logger })).resolves.toBe(queue);
    expect((await observer.snapshot()).queues).toHaveLength(1);
    await queue.close();
  });

  it('may be of a class of the program', async () => {
    const { MemoryBackend, observer } = setUp();
    class Orders extends MemoryBackend {
      place(id: number): Promise<void> {
        return this.publish('order', { id });
      }
    }
    const orders = new Orders({ name: 'orders' });
    expect(orders).toBeInstanceOf(Orders);
    await orders.place(1);
    expect((await observer.snapshot()).queues[0]).toMatchObject({ name: 'orders', published: 1 });
  });

  it('has the class of the library', () => {
    const { MemoryBackend } = setUp();
    expect(MemoryBackend.name).toBe('MemoryBackend');
    expect(() => new MemoryBackend({ capacity: -1 })).toThrow(RangeError);
    expect(() => MemoryBackend.fromEnv({ QUEUE_CAPACITY: 'x' }, { logger })).toThrow(sluice.ConfigurationError);
  });
});
