import { setImmediate as macrotask } from 'node:timers/promises';

/** Counts the messages 0, 1, 2, … of one publisher as they are consumed, and checks their order. */
export function inOrder(total) {
  return tally((finish) => {
    let next = 0;
    return (n) => {
      if (n !== next) throw new Error(`Expected message ${next}, got ${n}`);
      if (++next === total) finish();
    };
  });
}

/** For several publishers, where publisher p of P sends p, p + P, p + 2P, …: the messages of each one have to come in its order. */
export function inOrderPerPublisher(total, publishers) {
  return tally((finish) => {
    const next = Array.from({ length: publishers }, (_, publisher) => publisher);
    let count = 0;
    return (n) => {
      const publisher = n % publishers;
      if (n !== next[publisher]) throw new Error(`Expected message ${next[publisher]} of publisher ${publisher}, got ${n}`);
      next[publisher] += publishers;
      if (++count === total) finish();
    };
  });
}

function tally(makeTake) {
  let finish;
  const finished = new Promise((resolve) => {
    finish = () => resolve(performance.now());
  });
  const take = makeTake(finish);
  return {
    /** To be called with the number of each message that is consumed. */
    take,
    /**
     * The seconds from `startedAt` to the last message.
     * @param running the promises of the publishers and consumers; consumers may go on for ever
     * @throws when a message came out of order or twice, or when one of `running` failed
     */
    async seconds(startedAt, running) {
      const all = Promise.all(running);
      const endedAt = await Promise.race([finished, all.then(() => finished)]);
      // A message too many comes now, and its consumer fails.
      const idle = macrotask().then(() => macrotask());
      await Promise.race([idle, all.then(() => idle)]);
      return (endedAt - startedAt) / 1000;
    },
  };
}
