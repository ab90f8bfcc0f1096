import { once } from 'node:events';
import { realpathSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { Connection } from 'rabbitmq-client';
import { findCommand } from '../lib/servers/find-command.mjs';
import { freePort, startServer } from '../lib/servers/start.mjs';
import { LEFT_BEHIND } from './contenders/left-behind.mjs';

const TIMEOUT = 5000;

/** What is before the length of the version, and the version. */
const VERSION = 'versionS';

const command = 'rabbitmq-server';

/**
 * What a package puts on the PATH may be a wrapper that changes the user. The command itself is
 * beside the file that the wrapper is.
 */
export function start(file) {
  return startServer(findCommand(command, [path.dirname(realpathSync(file))]) ?? file, launch, versionOf);
}

/** Empties the server, before a run and outside of its time. */
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
    // Where Erlang keeps its secret.
    HOME: folder,
    // Nodes of Erlang find each other through `epmd`, a service that the first of them starts and
    // none ends. This one needs nobody.
    ERL_AFLAGS: '-start_epmd false',
    ERL_CRASH_DUMP_SECONDS: '0',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-sname ${node} -erl_epmd_port ${erlangPort} -kernel inet_dist_use_interface {127,0,0,1}`,
    // Then the script becomes the server, which the signals must reach, instead of starting it as a
    // child.
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

/** It is the first thing that a server says, which the client keeps to itself. */
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
