import { createClient } from 'redis';

export interface RedisAddress {
  readonly url: string;
  /** The certificate to trust, as PEM, if the server uses TLS. */
  readonly ca?: string;
}

/** Runs a command over a new connection. */
export async function runCommand({ url, ca }: RedisAddress, command: readonly string[]): Promise<unknown> {
  const socket = { reconnectStrategy: false as const, connectTimeout: 10_000 };
  const client = createClient({ url, socket: ca === undefined ? socket : { ...socket, tls: true, ca } });
  // Errors reject `connect` or the command.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await client.sendCommand(command);
  } finally {
    client.destroy();
  }
}
