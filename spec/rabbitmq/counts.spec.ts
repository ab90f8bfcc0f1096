import type { RabbitLink } from '../../src/rabbitmq/link.js';
import { QueueRequests } from '../../src/rabbitmq/queue-requests.js';
import { failureOf } from '../support/promises.js';

// The number of levels of a delay.
const LEVELS = 5;

describe('QueueRequests', () => {
  it('stop querying and close their channel when they are aborted', async () => {
    const told: string[] = [];
    const channel = {
      queueDeclare: async ({ queue }: { readonly queue: string }) => {
        told.push(queue);
        if (told.length === 2) givenUp.abort('too late');
        if (queue === `orders:delay:${LEVELS}`) throw Object.assign(new Error('No such queue'), { code: 'NOT_FOUND' });
        return { messageCount: 1, consumerCount: 1 };
      },
      close: async () => void told.push('close'),
    };
    const givenUp = new AbortController();
    const counts = new QueueRequests({ openChannel: async () => channel } as unknown as RabbitLink, givenUp.signal);
    expect(await failureOf(counts.countDelayed('orders:delay'))).toBe('too late');
    expect(told).toEqual(['orders:delay:0', 'orders:delay:1', 'close']);
    expect(await failureOf(counts.countConsumers('orders'))).toBe('too late');
    expect(told).toHaveLength(3);
  });
});
