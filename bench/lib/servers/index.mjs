/**
 * The servers that scenarios may need, by the name of their folder. Each has a `title`, a `command`, a `start(file)` with that command in full, and an
 * `empty(url)`, which is for before a run and outside of its time.
 */
import { findCommand } from './find-command.mjs';
import * as nats from './nats.mjs';
import * as rabbitmq from './rabbitmq.mjs';
import * as redis from './redis.mjs';

export const servers = { redis, nats, rabbitmq };

/** Starts one of them; resolves to undefined where there is no such command. */
export async function startIfInstalled({ command, start }) {
  const file = findCommand(command);
  return file === undefined ? undefined : start(file);
}
