import type { QueueBackend } from 'sluice';
import type { Tally } from '../../support/tally.js';

/**
 * Consumes in this process: acknowledges each message immediately and counts it in the tally.
 * Returns the results of the acks and the error of the stream.
 */
export function consumeHere(queue: QueueBackend, tally: Tally): { readonly counted: boolean[]; error: unknown } {
  const fate: { readonly counted: boolean[]; error: unknown } = { counted: [], error: undefined };
  queue.deliveries().subscribe({
    next: async (delivery) => {
      const { id } = delivery.payload as { id: number };
      tally.started(id);
      tally.finished(id);
      fate.counted.push(await delivery.ack());
    },
    error: (error: unknown) => {
      fate.error = error;
    },
  });
  return fate;
}
