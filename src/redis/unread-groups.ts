import type { ConsumerGroup } from '../backend.js';
import { shellCommand, type UnreadGroup, warnOfUnreadGroup } from '../core/unread-group.js';
import type { Logger } from '../internal/logger.js';
import { countMessages } from './administration.js';
import { consumersOf, factsOf, isLive } from './consumers.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { isReply } from './redis-errors.js';

export interface UnreadGroupsOptions {
  readonly queueName: string;
  readonly keys: QueueKeys;
  readonly declared: readonly ConsumerGroup[];
  /** The lease of consumers whose name does not state one, in milliseconds. */
  readonly lease: number;
  readonly logger: Logger;
}

/** Warns once of undeclared groups without a consumer: they retain every message. */
export class UnreadGroups {
  readonly #options: UnreadGroupsOptions;
  #isDone = false;

  constructor(options: UnreadGroupsOptions) {
    this.#options = options;
  }

  /** Looks for such groups, again if the connection is lost. Does not reject. */
  async look(link: RedisLink): Promise<void> {
    if (this.#isDone) return;
    this.#isDone = true;
    const { queueName, logger } = this.#options;
    try {
      for (const found of await this.#find(link)) warnOfUnreadGroup(logger, found);
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

  async #find(link: RedisLink): Promise<UnreadGroup[]> {
    const { queueName: queue, keys, declared, lease } = this.#options;
    const found: UnreadGroup[] = [];
    const infos = (await link.send(['XINFO', 'GROUPS', keys.stream])) as unknown[][];
    for (const facts of infos.map(factsOf)) {
      const group = String(facts.get('name'));
      if (declared.includes(group) || (await consumersOf(link, keys, group, lease)).some(isLive)) continue;
      const isBound = typeof facts.get('lag') !== 'number';
      const count = await this.#count(link, group, isBound);
      found.push({ queue, group, count, isBound, deletion: redisCli('XGROUP', 'DESTROY', keys.stream, group) });
    }
    return found;
  }

  /** Counts retained messages. If the server has no lag, the length of the stream is the bound. */
  async #count(link: RedisLink, group: ConsumerGroup, isBound: boolean): Promise<number> {
    const { keys } = this.#options;
    if (isBound) return (await link.send(['XLEN', keys.stream])) as number;
    return (await countMessages(link, keys, group)).unfinished;
  }
}

const CONTROL = /\p{Cc}/gu;

/** Writes the command line of a POSIX shell that sends a command with `redis-cli`. */
function redisCli(...command: string[]): string {
  if (command.join('').search(CONTROL) < 0) return shellCommand(['redis-cli', ...command]);
  // A shell cannot write some of these characters, but `redis-cli` reads commands with escapes.
  return `${shellCommand(['printf', String.raw`%s\n`, command.map(quotedForRedis).join(' ')])} | redis-cli`;
}

function quotedForRedis(word: string): string {
  const escaped = (character: string) =>
    [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return `"${word.replaceAll(/["\\]/g, String.raw`\$&`).replaceAll(CONTROL, escaped)}"`;
}
