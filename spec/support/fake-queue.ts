import type { QueueBackend } from 'sluice';

/** A backend that does nothing. */
export function fakeQueue(name: string): QueueBackend {
  const unexpected = () => {
    throw new Error('This queue must not be used');
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
