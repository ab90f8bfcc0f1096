import { once } from 'node:events';
import { realpathSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { Connection } from 'rabbitmq-client';
import { findCommand } from '../lib/servers/find-command.mjs';
import { freePort, startServer } from '../lib/servers/start.mjs';
import { LEFT_BEHIND } from './contenders/left-behind.mjs';

const TIMEOUT = 5000;

/** The bytes before the length of the version, and the version. */
const VERSION = 'versionS';

const command = 'rabbitmq-server';

/**
 * Returns the command itself. Packages may put a wrapper on the PATH that changes the user. The
 * command is in the folder of the file that the wrapper links to.
 */
export function start(file) {
  return startServer(findCommand(command, [path.dirname(realpathSync(file))]) ?? file, launch, versionOf);
}

/** Empties the server before a run, outside the measured time. */
export async function empty(url) {
  const connection = new Connection(url);
  for (const queue of LEFT_BEHIND.queues) await connection.queueDelete({ queue });
  for (const exchange of LEFT_BEHIND.exchanges) await connection.exchangeDelete({ exchange });
  await connection.close();
}

async function launch({ folder, port }) {
  const erlangPort = await freePort();
  const inFolder = (name) => path.join(folder, name);
  const settings = {
    'listeners.tcp.1': `127.0.0.1:${port}`,
    'log.console.level': 'warning',
    'disk_free_limit.absolute': '1MB',
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  writeFileSync(inFolder('rabbitmq.conf'), lines.join(''));
  const node = `sluice-bench-${port}@localhost`;
  const env = {
    // The folder of Erlang's secret.
    HOME: folder,
    // Erlang nodes find each other through `epmd`, a service that the first node starts and none
    // stops. This node does not need it.
    ERL_AFLAGS: '-start_epmd false',
    ERL_CRASH_DUMP_SECONDS: '0',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-sname ${node} -erl_epmd_port ${erlangPort} -kernel inet_dist_use_interface {127,0,0,1}`,
    // With this variable, the script becomes the server instead of starting a child, which signals
    // would not reach.
    RUNNING_UNDER_SYSTEMD: 'true',
    RABBITMQ_NODENAME: node,
    RABBITMQ_DIST_PORT: String(erlangPort),
    RABBITMQ_DEFAULT_USER: 'guest',
    RABBITMQ_DEFAULT_PASS: 'guest',
    RABBITMQ_MNESIA_BASE: inFolder('data'),
    RABBITMQ_LOG_BASE: inFolder('log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_PID_FILE: inFolder('pid'),
    RABBITMQ_CONF_ENV_FILE: inFolder('rabbitmq-env.conf'),
    RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: inFolder('advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('enabled_plugins'),
  };
  return { url: `amqp://guest:guest@127.0.0.1:${port}`, args: [], env };
}

/** Reads the version from the server's first frame. The client does not expose it. */
async function versionOf(url) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  try {
    socket.write('AMQP\0\0\x09\x01');
    const [greeting] = await once(socket, 'data', { signal: AbortSignal.timeout(TIMEOUT) });
    const length = greeting.readUInt32BE(greeting.indexOf(VERSION) + VERSION.length);
    const from = greeting.indexOf(VERSION) + VERSION.length + 4;
    return greeting.toString('latin1', from, from + length);
  } finally {
    socket.destroy();
  }
}
