import type { ConsumerGroup } from '../backend.js';
import { shellCommand, type UnreadGroup, warnOfUnreadGroup } from '../core/unread-group.js';
import type { Logger } from '../internal/logger.js';
import type { Connection } from './connection.js';
import { consumersOf, factsOf, isLive } from './consumers.js';
import type { QueueKeys } from './keys.js';
import { isReply } from './redis-errors.js';
import { statsScript } from './scripts/index.js';

export interface UnreadGroupsOptions {
  readonly queueName: string;
  readonly keys: QueueKeys;
  /** The groups that are not looked at. */
  readonly declared: readonly ConsumerGroup[];
  /** How long a consumer may be silent whose name does not say so, in milliseconds. */
  readonly lease: number;
  readonly logger: Logger;
}

/** Warns, once, of groups that this process does not declare and that have no consumer: they retain every message. */
export class UnreadGroups {
  readonly #options: UnreadGroupsOptions;
  #isDone = false;

  constructor(options: UnreadGroupsOptions) {
    this.#options = options;
  }

  /** Never rejects. If the connection is lost meanwhile, the next one looks again. */
  async look(connection: Connection): Promise<void> {
    if (this.#isDone) return;
    this.#isDone = true;
    const { queueName, logger } = this.#options;
    try {
      for (const found of await this.#find(connection)) warnOfUnreadGroup(logger, found);
    } catch (error) {
      // Not every user may ask.
      if (!isReply(error)) this.#isDone = false;
      else
        logger.debug(
          `Groups of queue ${JSON.stringify(queueName)} without a consumer are not known: ${error.message}`,
          { queue: queueName, error },
        );
    }
  }

  async #find(connection: Connection): Promise<UnreadGroup[]> {
    const { queueName: queue, keys, declared, lease } = this.#options;
    const found: UnreadGroup[] = [];
    const infos = (await connection.send(['XINFO', 'GROUPS', keys.stream])) as unknown[][];
    for (const facts of infos.map(factsOf)) {
      const group = String(facts.get('name'));
      if (declared.includes(group) || (await consumersOf(connection, keys, group, lease)).some(isLive)) continue;
      const isBound = typeof facts.get('lag') !== 'number';
      const count = await this.#count(connection, group, isBound);
      found.push({ queue, group, count, isBound, deletion: redisCli('XGROUP', 'DESTROY', keys.stream, group) });
    }
    return found;
  }

  /** Counts what a group retains. Where the server does not tell the lag, an exact count takes long: what the stream holds is the bound. */
  async #count(connection: Connection, group: ConsumerGroup, isBound: boolean): Promise<number> {
    const { stream, delayed, settled, addressed, groupPrefix } = this.#options.keys;
    if (isBound) return (await connection.send(['XLEN', stream])) as number;
    const counts = await connection.run(statsScript, [stream, delayed, settled, addressed], [groupPrefix, group]);
    return (counts as [ready: number, unfinished: number])[1];
  }
}

const CONTROL = /\p{Cc}/gu;

/** Returns a command line of a POSIX shell with which `redis-cli` sends this command. */
function redisCli(...command: string[]): string {
  if (command.join('').search(CONTROL) < 0) return shellCommand(['redis-cli', ...command]);
  // A shell has no way to write some of these characters, but `redis-cli` reads commands with escapes.
  return `${shellCommand(['printf', String.raw`%s\n`, command.map(quotedForRedis).join(' ')])} | redis-cli`;
}

function quotedForRedis(word: string): string {
  const escaped = (character: string) =>
    [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return `"${word.replaceAll(/["\\]/g, String.raw`\$&`).replaceAll(CONTROL, escaped)}"`;
}
