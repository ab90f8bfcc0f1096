import { inOrderPerPublisher } from '../lib/tally.mjs';

const PUBLISHERS = 4;
const CAPACITY = 16;
/** The consumer may hold one message besides those of the queue. */
const MOST = CAPACITY + 1;

export const crowded = {
  title: '4 publishers, a capacity of 16',
  text: `Each publisher awaits each publish; one consumer. The order of each publisher is checked, and that at most ${MOST} accepted messages are not taken yet.`,
  unit: 'M/s',
  contenders: [
    'sluice',
    'limit',
    'checked',
    'queueable',
    'it-pushable',
    'event-iterator',
    'events-on',
    'pass-through',
    'effect',
  ],
  goals: [
    { atLeast: 1, of: 'best peer' },
    { atLeast: 0.7, of: 'limit' },
  ],

  async run(contender, { messages }) {
    const queue = await contender.open({ capacity: CAPACITY });
    const tally = inOrderPerPublisher(messages, PUBLISHERS);
    let waiting = 0;
    let most = 0;
    const accepted = () => {
      if (++waiting > most) most = waiting;
    };
    const take = (n) => {
      waiting--;
      tally.take(n);
    };
    const startedAt = performance.now();
    const running = [queue.consume(take)];
    for (let publisher = 0; publisher < PUBLISHERS; publisher++)
      running.push(queue.publish(publisher, PUBLISHERS, messages, accepted));
    const seconds = await tally.seconds(startedAt, running);
    if (most > MOST) throw new Error(`${most} accepted messages waited with a capacity of ${CAPACITY}`);
    return { seconds, details: { most } };
  },
};
