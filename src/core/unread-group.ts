import type { ConsumerGroup } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';

export interface UnreadGroup {
  readonly queue: string;
  readonly group: ConsumerGroup;
  /** How many messages the group retains. With `isBound`, an upper bound. */
  readonly count: number;
  readonly isBound?: boolean;
  /** The shell command that deletes the group. */
  readonly deletion: string;
}

export interface UnreadGroupsOptions<AnyLink> {
  readonly queue: string;
  readonly logger: Logger;
  /** Finds the undeclared groups without a consumer. */
  readonly find: (link: AnyLink) => AsyncIterable<UnreadGroup>;
  /** Whether the search would fail again over the next link. */
  readonly isFinal: (error: unknown) => boolean;
}

/** Warns once of each undeclared group without a consumer. */
export class UnreadGroups<AnyLink> {
  readonly #options: UnreadGroupsOptions<AnyLink>;
  readonly #warned = new Set<ConsumerGroup>();
  #isDone = false;

  constructor(options: UnreadGroupsOptions<AnyLink>) {
    this.#options = options;
  }

  /**
   * Looks for such groups. Never rejects. After a failure that is not final, the next call looks
   * again.
   */
  readonly look = async (link: AnyLink): Promise<void> => {
    if (this.#isDone) return;
    this.#isDone = true;
    const { queue, logger, find, isFinal } = this.#options;
    try {
      for await (const found of find(link)) {
        if (this.#warned.has(found.group)) continue;
        this.#warned.add(found.group);
        warnOfUnreadGroup(logger, found);
      }
    } catch (error) {
      this.#isDone = isFinal(error);
      if (!this.#isDone) return;
      const message = `Queue ${JSON.stringify(queue)}: cannot check for groups without a consumer`;
      logger.debug(`${message}: ${describeError(error)}`, { queue, error });
    }
  };
}

/** Warns of an undeclared group without a consumer: it retains every message. */
function warnOfUnreadGroup(logger: Logger, { queue, group, count, isBound = false, deletion }: UnreadGroup): void {
  const messages = `${isBound ? 'up to ' : ''}${count} ${count === 1 ? 'message' : 'messages'}`;
  const origin = group === DEFAULT_GROUP ? ' A process without `groups` or QUEUE_GROUPS has created it.' : '';
  logger.warn(
    `Group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)} has no consumer and is not declared here. ` +
      `It retains ${messages} and every message to come.${origin} Declare it and consume for it, or delete it: ${deletion}`,
    { queue, group },
  );
}

/** Joins words to a command line for a POSIX shell. */
export function shellCommand(words: readonly string[]): string {
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  return /^[\w.:/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
