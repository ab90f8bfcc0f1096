import type { ConsumerGroup } from '../backend.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { findGroups } from './consumers.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { isReply } from './redis-errors.js';
import { openScript } from './scripts/index.js';

export interface TopologyOptions {
  readonly keys: QueueKeys;
  readonly groups: readonly ConsumerGroup[];
  readonly groupsDeclared: boolean;
  readonly create: boolean;
  readonly failures: EngineErrors;
}

/** How many keys of the server one SCAN looks at. */
const SCANNED = '2000';

/** Creates, finds and deletes a queue and its groups. */
export class Topology {
  readonly #options: TopologyOptions;
  #isDeleted = false;

  constructor(options: TopologyOptions) {
    this.#options = options;
  }

  /** Whether the queue and its groups are created if they are missing. */
  get mayCreate(): boolean {
    return this.#options.create && !this.#isDeleted;
  }

  /** Creates the declared groups before anything is published. */
  async prepare(link: RedisLink): Promise<void> {
    const { groups, groupsDeclared } = this.#options;
    if (this.mayCreate) await this.#create(link, groups, !groupsDeclared);
    // The link may be replaced while the queue is deleted.
    else if (!this.#isDeleted) await this.check(link);
  }

  /** Creates a group of a consumer. */
  async openGroup(link: RedisLink, group: ConsumerGroup): Promise<void> {
    if (this.mayCreate) return this.#create(link, [...this.#declared, group]);
    await this.check(link, group);
    // Another program may have created the group without the wake stream.
    try {
      await link.send(['XGROUP', 'CREATE', this.#options.keys.wakeStream, group, '0', 'MKSTREAM']);
    } catch (error) {
      if (!isReply(error) || !error.message.startsWith('BUSYGROUP')) throw error;
    }
  }

  /**
   * @throws {QueueNotFoundError} (a rejection) if the queue, a declared group or `group` is missing
   */
  async check(link: RedisLink, group?: ConsumerGroup): Promise<void> {
    const { keys, failures } = this.#options;
    const existing = await findGroups(link, keys);
    if (existing === undefined) throw failures.notFound();
    const wanted = group === undefined ? this.#declared : [...this.#declared, group];
    const missing = wanted.find((name) => !existing.includes(name));
    if (missing !== undefined) throw failures.notFound(missing);
  }

  /** Creates nothing while the queue is deleted, and after that. If it fails, all is as before. */
  async whileDeleting(run: () => Promise<void>): Promise<void> {
    this.#isDeleted = true;
    try {
      await run();
    } catch (error) {
      this.#isDeleted = false;
      throw error;
    }
  }

  /** Deletes all keys of the queue. */
  async delete(link: RedisLink, signal: AbortSignal): Promise<void> {
    const { stream, wakeStream, delayed, quarantine, settled, addressed, groupPrefix } = this.#options.keys;
    const pattern = `${groupPrefix.replaceAll(/[\\*?[\]]/g, String.raw`\$&`)}*`;
    const scan = async (cursor: string) =>
      (await link.send(['SCAN', cursor, 'MATCH', pattern, 'COUNT', SCANNED])) as [next: string, keys: string[]];
    // A user who may not scan must not delete half of the queue.
    let [cursor, found] = await scan('0');
    await link.send(['UNLINK', stream, wakeStream, delayed, quarantine, settled, addressed]);
    // The names of publishers, of fenced consumers and of remembered ids are not known.
    for (;;) {
      if (found.length > 0) await link.send(['UNLINK', ...found]);
      // The call has failed: this process may create the queue again.
      signal.throwIfAborted();
      if (cursor === '0') return;
      [cursor, found] = await scan(cursor);
    }
  }

  /**
   * Without a declaration, a queue with other groups gets `default` only if a consumer joins it: a
   * group without a consumer retains every message.
   */
  get #declared(): readonly ConsumerGroup[] {
    return this.#options.groupsDeclared ? this.#options.groups : [];
  }

  /** @param onlyFirst creates no group if the queue has one */
  async #create(link: RedisLink, groups: readonly ConsumerGroup[], onlyFirst = false): Promise<void> {
    const { stream, wakeStream, settled, addressed } = this.#options.keys;
    await link.run(openScript, [stream, wakeStream, settled, addressed], [onlyFirst ? '1' : '0', ...groups]);
  }
}
