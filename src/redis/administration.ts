import type { ConsumerGroup, GroupInfo, MessageView } from '../backend.js';
import type { Connection } from './connection.js';
import { consumersOf, factsOf, isLive } from './consumers.js';
import type { QueueKeys } from './keys.js';
import { type Fields, readMessage } from './message.js';
import { isReply } from './redis-errors.js';
import { deleteGroupScript, peekScript, purgeDelayedScript, purgeScript, statsScript } from './scripts/index.js';

export interface AdministrationOptions {
  readonly connection: Connection;
  readonly keys: QueueKeys;
  /** The lease of consumers whose name does not state one, in milliseconds. */
  readonly lease: number;
}

type Row = readonly [id: string, fields: Fields, attempt: number, due: string];

/** The administration of a queue, over a connection that is ready. */
export class Administration {
  readonly #options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  /** Lists the groups of the queue, in no order. */
  async groups(): Promise<Omit<GroupInfo, 'declared'>[]> {
    const names = await this.#names();
    const infos = await Promise.all(names.map((name) => this.#describe(name)));
    return infos.filter((info) => info !== undefined);
  }

  /** Deletes a group, with its messages. Resolves to whether there was one. */
  async deleteGroup(group: ConsumerGroup): Promise<boolean> {
    const { connection, keys } = this.#options;
    const { stream, wakeStream, delayed, addressed } = keys;
    const names = [
      stream,
      wakeStream,
      delayed,
      keys.requeued(group),
      keys.retries(group),
      keys.fence(group),
      addressed,
    ];
    const deleted = await connection.run(deleteGroupScript, names, [group]);
    await this.#purgeStream([]);
    return deleted === 1;
  }

  /** Shows waiting messages of a group, in order, without taking them. */
  async peek(group: ConsumerGroup, limit: number): Promise<MessageView[]> {
    const { connection, keys } = this.#options;
    const { stream, delayed, addressed } = keys;
    const names = [stream, delayed, keys.requeued(group), keys.retries(group), addressed];
    const rows = (await connection.run(peekScript, names, [group, String(limit)])) as Row[];
    return rows.flatMap(([id, fields, attempt, due]): MessageView[] => {
      const message = readMessage(id, attempt, fields);
      // A consumer moves an invalid entry to quarantine.
      if (typeof message === 'string') return [];
      const { token: _, ...view } = message;
      return [due === '' ? view : { ...view, due: Number(due) }];
    });
  }

  /**
   * Removes waiting and delayed messages of one group, or of all. Resolves to how many messages it removed.
   * Messages that are published meanwhile may stay.
   */
  async purge(group?: ConsumerGroup): Promise<number> {
    const { connection, keys } = this.#options;
    const { stream, delayed, addressed } = keys;
    const groups = group === undefined ? await this.#names() : [group];
    let removed = 0;
    // Delayed messages first: those that become due meanwhile are in the stream then.
    for (let offset = 0; offset >= 0; ) {
      const args = [String(offset), ...groups];
      const reply = await connection.run(purgeDelayedScript, [stream, delayed, addressed], args);
      const [count, next] = reply as [count: number, next: number];
      removed += count;
      offset = next;
    }
    return removed + (await this.#purgeStream(groups));
  }

  /** Removes the waiting messages of these groups from the stream, and the entries that no group needs. */
  async #purgeStream(groups: readonly ConsumerGroup[]): Promise<number> {
    const { connection, keys } = this.#options;
    const { stream, addressed, groupPrefix } = keys;
    // A busy publisher must not keep this going for ever.
    const [newest] = (await connection.send(['XREVRANGE', stream, '+', '-', 'COUNT', '1'])) as [id: string][];
    let removed = 0;
    for (let from = newest === undefined ? '' : '-'; from !== ''; ) {
      const args = [groupPrefix, from, newest?.[0] ?? '', ...groups];
      const [count, next] = (await connection.run(purgeScript, [stream, addressed], args)) as [number, string];
      removed += count;
      from = next;
    }
    return removed;
  }

  async #names(): Promise<ConsumerGroup[]> {
    const { connection, keys } = this.#options;
    try {
      const rows = (await connection.send(['XINFO', 'GROUPS', keys.stream])) as unknown[][];
      return rows.map((row) => String(factsOf(row).get('name')));
    } catch (error) {
      if (isReply(error) && error.message.includes('no such key')) return [];
      throw error;
    }
  }

  /** Resolves to undefined if the group was deleted meanwhile. */
  async #describe(name: ConsumerGroup): Promise<Omit<GroupInfo, 'declared'> | undefined> {
    const { connection, keys, lease } = this.#options;
    const { stream, delayed, settled, addressed, groupPrefix } = keys;
    try {
      const [counts, consumers] = await Promise.all([
        connection.run(statsScript, [stream, delayed, settled, addressed], [groupPrefix, name]),
        consumersOf(connection, keys, name, lease),
      ]);
      const [ready, unfinished] = counts as [ready: number, unfinished: number];
      return { name, ready, unfinished, consumers: consumers.filter(isLive).length };
    } catch (error) {
      if (isReply(error) && error.message.startsWith('NOGROUP')) return undefined;
      throw error;
    }
  }
}
