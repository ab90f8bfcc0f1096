import { inOrder } from '../lib/tally.mjs';

export const burst = {
  title: 'Burst, then drain',
  text: 'All messages are published without waiting, then one consumer takes them.',
  unit: 'M/s',
  contenders: [
    'sluice',
    'limit',
    'checked',
    'rxjs-for-await',
    'ix',
    'it-pushable',
    'event-iterator',
    'events-on',
    'pass-through',
    'effect',
    'effect-take-all',
  ],
  fewer: ['rxjs-for-await', 'ix', 'event-iterator'],
  goals: [
    { atLeast: 1, of: 'best peer' },
    { atLeast: 0.85, of: 'limit' },
  ],

  async run(contender, { messages }) {
    const queue = await contender.open();
    const tally = inOrder(messages);
    const startedAt = performance.now();
    const early = contender.consumesFirst ? queue.consume(tally.take) : undefined;
    for (let n = 0; n < messages; n++) void queue.push({ n });
    const seconds = await tally.seconds(startedAt, [early ?? queue.consume(tally.take)]);
    return { seconds };
  },
};
