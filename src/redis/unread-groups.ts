import type { ConsumerGroup } from '../backend.js';
import { shellCommand, type UnreadGroup, UnreadGroups } from '../core/unread-group.js';
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

/** Finds the groups that this process does not declare and that have no live consumer. */
export function unreadGroups(options: UnreadGroupsOptions): UnreadGroups<RedisLink> {
  const { queueName: queue, keys, declared, lease, logger } = options;

  async function* find(link: RedisLink): AsyncGenerator<UnreadGroup> {
    const infos = (await link.send(['XINFO', 'GROUPS', keys.stream])) as unknown[][];
    for (const facts of infos.map(factsOf)) {
      const group = String(facts.get('name'));
      if (declared.includes(group) || (await consumersOf(link, keys, group, lease)).some(isLive)) continue;
      const isBound = typeof facts.get('lag') !== 'number';
      const count = await countRetained(link, group, isBound);
      yield { queue, group, count, isBound, deletion: redisCli('XGROUP', 'DESTROY', keys.stream, group) };
    }
  }

  /** If the server has no lag, the length of the stream is the bound. */
  async function countRetained(link: RedisLink, group: ConsumerGroup, isBound: boolean): Promise<number> {
    if (isBound) return (await link.send(['XLEN', keys.stream])) as number;
    return (await countMessages(link, keys, group)).unfinished;
  }

  // Not every user may ask.
  return new UnreadGroups({ queue, logger, find, isFinal: isReply });
}

const CONTROL = /\p{Cc}/gu;

/** Writes the command line of a POSIX shell that sends a command with `redis-cli`. */
export function redisCli(...command: string[]): string {
  if (command.join('').search(CONTROL) < 0) return shellCommand(['redis-cli', ...command]);
  // A shell cannot write some of these characters, but `redis-cli` reads commands with escapes.
  return `${shellCommand(['printf', String.raw`%s\n`, command.map(quotedForRedis).join(' ')])} | redis-cli`;
}

function quotedForRedis(word: string): string {
  const escaped = (character: string) =>
    [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return `"${word.replaceAll(/["\\]/g, String.raw`\$&`).replaceAll(CONTROL, escaped)}"`;
}
