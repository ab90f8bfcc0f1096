/** The defaults of the scenarios with a server. */
export const common = { messages: 20_000, rounds: 5 };

export const payload = (n) => ({ n, name: 'order', amount: 12.5 });

/** Sends 0, 1, 2, … with several publishers. Each awaits each publish. */
export async function publishAll({ publish }, messages, publishers) {
  let next = 0;
  const one = async () => {
    while (next < messages) await publish(payload(next++));
  };
  await Promise.all(Array.from({ length: publishers }, one));
}

export async function expectUnfinished(publisher, expected) {
  const unfinished = await publisher.unfinished();
  if (unfinished !== expected) throw new Error(`Expected ${expected} unfinished messages, got ${unfinished}`);
}

/**
 * Counts acknowledgements. Call `acked` with the number of new ones. `all` resolves after
 * `messages` acknowledgements.
 */
export function countAcks(messages) {
  let count = 0;
  let finish;
  const all = new Promise((resolve) => {
    finish = resolve;
  });
  const acked = (more) => {
    count += more;
    if (count >= messages) finish();
  };
  return { acked, all };
}
