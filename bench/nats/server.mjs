import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { freePort, startServer } from '../lib/servers/start.mjs';

export const start = (file) => startServer(file, launch, versionOf);

/** Empties the server before a run, outside the measured time. */
export function empty(url) {
  return use(url, async (manager) => {
    for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
  });
}

/** Starts the server with a separate address for monitoring. */
async function launch({ folder, port }) {
  const monitorPort = await freePort();
  return {
    url: `nats://127.0.0.1:${port}`,
    monitorUrl: `http://127.0.0.1:${monitorPort}`,
    args: [
      '--addr',
      '127.0.0.1',
      '--port',
      String(port),
      '--http_port',
      String(monitorPort),
      '--jetstream',
      '--store_dir',
      folder,
    ],
  };
}

const versionOf = (url) =>
  use(url, async (manager, connection) => {
    await manager.getAccountInfo();
    return connection.info.version;
  });

async function use(url, act) {
  const connection = await connect({ servers: url, reconnect: false });
  try {
    return await act(await jetstreamManager(connection, { checkAPI: false }), connection);
  } finally {
    await connection.close();
  }
}
