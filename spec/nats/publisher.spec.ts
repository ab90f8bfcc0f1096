import type { Pending } from '../../src/core/outbox.js';
import type { CheckedMessage } from '../../src/internal/check-message.js';
import type { NatsLink } from '../../src/nats/link.js';
import { type Parcel, Publisher } from '../../src/nats/publisher.js';
import type { NatsQueue } from '../../src/nats/queue.js';

describe('Publisher', () => {
  it('opens a group again that was published to while the groups were opened', async () => {
    const opened: string[][] = [];
    const topology = {
      creates: true,
      open: async () => {
        opened.push([...publisher.addressed]);
        if (opened.length === 1) write('b');
      },
    };
    const queue = { options: { groupsDeclared: false }, topology } as unknown as NatsQueue;
    const publisher = new Publisher(queue, () => {});
    const write = (group: string) => {
      const message = { key: 'key', payload: {}, headers: {}, delay: 0, group } as unknown as CheckedMessage;
      return { parcel: publisher.write(message) } as Pending<Parcel>;
    };
    const a = write('a');
    await publisher.prepare({} as NatsLink, a);
    const b = write('b');
    expect([publisher.isPrepared(a), publisher.isPrepared(b)]).toEqual([true, false]);
    await publisher.prepare({} as NatsLink, b);
    expect(publisher.isPrepared(b)).toBe(true);
    expect(opened).toEqual([['a'], ['a', 'b']]);
  });
});
