import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { startServer } from '../lib/servers/start.mjs';

/** The user that runs the server if this process is root, since the server refuses root. */
const USER = 'postgres';

/**
 * The defaults (a confirmed transaction is on the disk), except for the memory and the log: a
 * checkpoint should not start during a run only because the log is full.
 */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  log_min_messages: 'fatal',
};

export const start = (file) => startServer(file, (place) => launch(path.dirname(realpathSync(file)), place), versionOf);

/** Empties the server before a run, outside the measured time. */
export async function empty(url) {
  await use(url, async (client) => {
    const { rows } = await client.query(
      `SELECT quote_ident(nspname) AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`,
    );
    for (const { name } of rows) await client.query(`DROP SCHEMA ${name} CASCADE`);
    await client.query('CREATE SCHEMA public');
    await client.query('CHECKPOINT');
  });
}

/** Opens a connection for one action. */
export async function use(url, act) {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}

function launch(commands, { folder, port }) {
  const user = userOfServer();
  const data = path.join(folder, 'data');
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  if (!existsSync(data)) {
    const options = ['-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale', 'C', '--no-sync'];
    execFileSync(path.join(commands, 'initdb'), options, { cwd: folder, ...user, stdio: 'pipe' });
  }
  const settings = { ...SETTINGS, port, unix_socket_directories: folder };
  return {
    ...user,
    url: `postgres://${USER}@127.0.0.1:${port}/postgres`,
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
  };
}

function userOfServer() {
  if (process.getuid?.() !== 0) return {};
  const id = (option) => Number(execFileSync('id', [option, USER], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

const versionOf = (url) =>
  use(url, async (client) => {
    const { rows } = await client.query('SHOW server_version');
    return rows[0].server_version.split(' ')[0];
  });
