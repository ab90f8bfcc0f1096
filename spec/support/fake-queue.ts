import type { QueueBackend } from 'sluice';

/** What looks like a backend, and does nothing. */
export function fakeQueue(name: string): QueueBackend {
  const unexpected = () => {
    throw new Error('Expected nobody to use this queue');
  };
  const queue = {
    name,
    publish: unexpected,
    consume: unexpected,
    deliveries: unexpected,
    stats: unexpected,
    close: async () => {},
  };
  return queue as unknown as QueueBackend;
}
