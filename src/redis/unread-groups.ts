import type { ConsumerGroup } from '../backend.js';
import type { Logger } from '../internal/logger.js';
import type { Connection } from './connection.js';
import { isReply } from './failures.js';
import type { QueueKeys } from './keys.js';
import { factsOf, hasLiveConsumer } from './neighbours.js';
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
      for (const [group, count] of await this.#find(connection)) this.#warn(group, count);
    } catch (error) {
      // Not every user may ask.
      if (!isReply(error)) this.#isDone = false;
      else
        logger.debug(`Groups of queue ${JSON.stringify(queueName)} without a consumer are not known: ${error.message}`, { queue: queueName, error });
    }
  }

  async #find(connection: Connection): Promise<[group: ConsumerGroup, count: string][]> {
    const { keys, declared, lease } = this.#options;
    const found: [group: ConsumerGroup, count: string][] = [];
    const infos = (await connection.send(['XINFO', 'GROUPS', keys.stream])) as unknown[][];
    for (const facts of infos.map(factsOf)) {
      const group = String(facts.get('name'));
      if (declared.includes(group) || (await hasLiveConsumer(connection, keys, group, lease))) continue;
      found.push([group, await this.#count(connection, group, typeof facts.get('lag') === 'number')]);
    }
    return found;
  }

  /** How many messages a group retains, in words. To count them takes long where the server does not tell the lag. */
  async #count(connection: Connection, group: ConsumerGroup, isQuick: boolean): Promise<string> {
    const { stream, delayed, settled, addressed, ofGroups } = this.#options.keys;
    if (!isQuick) return `up to ${messages(await connection.send(['XLEN', stream]))}`;
    const counts = await connection.run(statsScript, [stream, delayed, settled, addressed], [ofGroups, group]);
    return messages((counts as [ready: number, unfinished: number])[1]);
  }

  #warn(group: ConsumerGroup, count: string): void {
    const { queueName, keys, logger } = this.#options;
    logger.warn(
      `Group ${shown(group)} of queue ${shown(queueName)} retains ${count}: this process does not declare it, and it has no consumer. ` +
        `Declare it and consume for it, or delete it: ${redisCli('XGROUP', 'DESTROY', keys.stream, group)}`,
      { queue: queueName, group },
    );
  }
}

function messages(count: unknown): string {
  return count === 1 ? '1 message' : `${count} messages`;
}

/** A name in one line. JSON leaves some control characters as they are. */
function shown(name: string): string {
  return JSON.stringify(name).replaceAll(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const CONTROL = /\p{Cc}/gu;

/** A command line of a POSIX shell that has `redis-cli` send this command. */
function redisCli(...command: string[]): string {
  if (command.join('').search(CONTROL) < 0) return ['redis-cli', ...command.map(quotedForShell)].join(' ');
  // A shell has no way to write some of these characters, but `redis-cli` reads commands with escapes.
  return `printf '%s\\n' ${quotedForShell(command.map(quotedForRedis).join(' '))} | redis-cli`;
}

function quotedForShell(word: string): string {
  return /^[\w.:/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function quotedForRedis(word: string): string {
  const escaped = (character: string) => [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return `"${word.replaceAll(/["\\]/g, String.raw`\$&`).replaceAll(CONTROL, escaped)}"`;
}
