import { Connection } from 'rabbitmq-client';

/** Opens a client to hand to a queue. `destroy` closes it immediately. */
export function openClient(url: string): { readonly client: Connection; destroy(): void } {
  const client = new Connection(url);
  return { client, destroy: () => client.unsafeDestroy() };
}
