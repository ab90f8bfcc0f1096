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
 * For several publishers: publisher p of P sends p, p + P, p + 2P, … Checks the order of each
 * publisher.
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
 * For handlers that run concurrently: checks that each of 0, 1, 2, … is handled exactly once, in
 * any order.
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
  // The error is also thrown, so this rejection may be ignored.
  failed.catch(() => {});
  const wrong = (message) => {
    const error = new Error(message);
    fail(error);
    return error;
  };
  const take = makeTake(finish, wrong);
  return {
    /** Must be called with the number of each consumed message. */
    take,
    /**
     * Returns the seconds from `startedAt` to the last message.
     * @param running the promises of the publishers and consumers. Consumers need not end.
     * @throws if a message is out of order or duplicated, or one of `running` fails
     */
    async seconds(startedAt, running) {
      const all = Promise.all(running);
      const endedAt = await Promise.race([finished, all.then(() => finished)]);
      // A surplus message arrives now and makes its consumer fail.
      const idle = macrotask().then(() => macrotask());
      await Promise.race([idle, all.then(() => idle)]);
      return (endedAt - startedAt) / 1000;
    },
    /**
     * Returns the seconds from `startedAt` until `settled` resolves. It is for contenders that call
     * a handler and know when the last one has ended.
     * @throws if a message is missing, out of order or duplicated, even if the contender ignores
     *   the handler's error
     */
    async secondsUntil(settled, startedAt) {
      await Promise.race([settled, failed]);
      const endedAt = performance.now();
      // A surplus message arrives now.
      await Promise.race([macrotask().then(() => macrotask()), failed]);
      if (!complete) throw new Error('All handlers ended, but a message is missing');
      return (endedAt - startedAt) / 1000;
    },
  };
}
