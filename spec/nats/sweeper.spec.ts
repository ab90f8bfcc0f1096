import type { Ticket } from '../../src/nats/leases.js';
import { queueNames } from '../../src/nats/names.js';
import { Sweeper, type SweeperOptions } from '../../src/nats/sweeper.js';

describe('Sweeper', () => {
  /** A sweeper of a stream whose groups it is told of when the test says so, and what it has removed. */
  const sweeping = (floors: Record<string, number>) => {
    const removed: number[] = [];
    let tell: () => void = () => {};
    const topology = {
      floors: async () => {
        await new Promise<void>((resolve) => {
          tell = resolve;
        });
        return { created: 'then', floors: new Map(Object.entries(floors)) };
      },
      first: async () => ({ created: 'then', first: 1 }),
      remove: async (_link: unknown, sequences: readonly number[]) => void removed.push(...sequences),
    };
    const options = { names: queueNames('q'), topology, connection: { link: {}, isReady: true }, onAnother: () => {} };
    const sweeper = new Sweeper(options as unknown as SweeperOptions);
    sweeper.begin('then');
    const settle = (sequence: number) => sweeper.settled('default', ticket(sequence));
    return { sweeper, settle, removed, tell: () => tell() };
  };

  const ticket = (sequence: number, storedAt = 1000): Ticket => {
    return { message: { subject: 'q.key' } as Ticket['message'], reply: '', sequence, storedAt, stream: 'then', until: 0 };
  };

  it('removes nothing that is settled after it has asked for the groups', async () => {
    const { sweeper, settle, removed, tell } = sweeping({ default: 0 });
    settle(1);
    const first = sweeper.sweep();
    settle(2);
    tell();
    await first;
    expect(removed).toEqual([1]);
    const second = sweeper.sweep();
    tell();
    await second;
    expect(removed).toEqual([1, 2]);
    sweeper.stop();
  });

  it('removes nothing of a stream that was found to be another while it asked for the groups', async () => {
    const { sweeper, settle, removed, tell } = sweeping({ default: 0 });
    settle(1);
    sweeper.begin('before');
    sweeper.settled('default', { ...ticket(2), stream: 'before' });
    const swept = sweeper.sweep();
    sweeper.begin('then');
    tell();
    await swept;
    expect(removed).toEqual([]);
    sweeper.stop();
  });

  it('knows what it has removed by its place, and by when it was stored', async () => {
    const { sweeper, settle, tell } = sweeping({ default: 0 });
    settle(1);
    expect(sweeper.isSettled('default', ticket(1))).toBe(true);
    const swept = sweeper.sweep();
    tell();
    await swept;
    expect(sweeper.isSettled('default', ticket(1))).toBe(true);
    expect(sweeper.isSettled('default', ticket(1, 2000))).toBe(false);
    expect(sweeper.isSettled('other', ticket(1))).toBe(false);
    sweeper.stop();
  });
});
