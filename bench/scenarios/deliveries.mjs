import { inOrder } from '../lib/tally.mjs';
import { burst } from './burst.mjs';

export const deliveries = {
  title: 'Deliveries, acked at once',
  text: 'Like `burst`, but with deliveries({ prefetch: 64 }). The limit settles nothing.',
  unit: 'M/s',
  contenders: ['sluice', 'sluice-iterated', 'limit'],
  goals: [{ atLeast: 0.8, of: 'limit' }],

  async run(contender, options) {
    const queue = await contender.open();
    if (queue.consumeDeliveries === undefined) return burst.run(contender, options);
    const tally = inOrder(options.messages);
    const startedAt = performance.now();
    for (let n = 0; n < options.messages; n++) void queue.push({ n });
    return { seconds: await tally.seconds(startedAt, [queue.consumeDeliveries(tally.take)]) };
  },
};
