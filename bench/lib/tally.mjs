import { setImmediate as macrotask } from 'node:timers/promises';

/** Counts the messages 0, 1, 2, … of one publisher as they are consumed, and checks their order. */
export function inOrder(total) {
  return tally((finish, wrong) => {
    let next = 0;
    return (n) => {
      if (n !== next) throw wrong(`Expected message ${next}, got ${n}`);
      if (++next === total) finish();
    };
  });
}

/**
 * For several publishers, where publisher p of P sends p, p + P, p + 2P, …: the messages of each
 * one have to come in its order.
 */
export function inOrderPerPublisher(total, publishers) {
  return tally((finish, wrong) => {
    const next = Array.from({ length: publishers }, (_, publisher) => publisher);
    let count = 0;
    return (n) => {
      const publisher = n % publishers;
      if (n !== next[publisher]) throw wrong(`Expected message ${next[publisher]} of publisher ${publisher}, got ${n}`);
      next[publisher] += publishers;
      if (++count === total) finish();
    };
  });
}

/**
 * For handlers that run at the same time: each of 0, 1, 2, … has to come exactly once, in whatever
 * order.
 */
export function onceEach(total) {
  return tally((finish, wrong) => {
    const seen = new Uint8Array(total);
    let count = 0;
    return (n) => {
      if (seen[n] !== 0) throw wrong(n < total ? `Got message ${n} twice` : `Got message ${n} of ${total}`);
      seen[n] = 1;
      if (++count === total) finish();
    };
  });
}

function tally(makeTake) {
  let complete = false;
  let finish;
  const finished = new Promise((resolve) => {
    finish = () => {
      complete = true;
      resolve(performance.now());
    };
  });
  let fail;
  const failed = new Promise((_, reject) => {
    fail = reject;
  });
  // Who does not look at it loses nothing: what was wrong is thrown as well.
  failed.catch(() => {});
  const wrong = (message) => {
    const error = new Error(message);
    fail(error);
    return error;
  };
  const take = makeTake(finish, wrong);
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
    /**
     * The seconds from `startedAt` until `settled` resolves, for those who call a handler and know
     * themselves when the last one has ended.
     * @throws when a message is missing by then, or came out of order or twice, even if who called
     * the handler kept its error to himself
     */
    async secondsUntil(settled, startedAt) {
      await Promise.race([settled, failed]);
      const endedAt = performance.now();
      // A message too many comes now.
      await Promise.race([macrotask().then(() => macrotask()), failed]);
      if (!complete) throw new Error('Settled, but a message is missing');
      return (endedAt - startedAt) / 1000;
    },
  };
}
