import type { StoredMsg } from '@nats-io/jetstream';
import type { ConsumerGroup, MessageView } from '../backend.js';
import type { NatsSession } from './group-session.js';
import type { NatsLink } from './link.js';
import { readMessage } from './message.js';
import { isFor, type QueueNames } from './names.js';
import { isNotFound } from './nats-errors.js';
import type { Purge } from './purge.js';
import { asMessage, readStored, storedAt } from './stored.js';

export interface AdministrationOptions {
  readonly names: QueueNames;
  /** The consumer of this process for a group, by its name on the server. */
  readonly consumer: (name: string) => NatsSession | undefined;
  readonly purge: Purge;
  /** Resolves when what is being moved now is in one place again. */
  readonly moved: () => Promise<void>;
}

/** How many messages may lie between the first unsettled message of a group and its last delivery for `peek` to read them. */
const MOST_BETWEEN = 10_000;

/** How many delayed messages `peek` reads, to find those that are due first. */
const MOST_DELAYED = 10_000;

/** Shows the waiting messages of a queue, and deletes groups. */
export class Administration {
  readonly #options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  /** Deletes a group, and the messages that only it gets. Resolves to whether there was one. */
  async deleteGroup(link: NatsLink, group: ConsumerGroup): Promise<boolean> {
    const { names, purge } = this.#options;
    const name = names.consumer(group);
    try {
      await link.manager.consumers.delete(names.stream, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
    await purge.forget(link, name);
    return true;
  }

  /** Shows the waiting messages of a group: those that are ready in order, then the delayed ones by their time. */
  async peek(link: NatsLink, group: ConsumerGroup, limit: number): Promise<MessageView[]> {
    const name = this.#options.names.consumer(group);
    const { ready, delayed } = await this.#peekReady(link, name, limit);
    if (ready.length < limit) {
      await this.#options.moved();
      delayed.push(...(await this.#peekDelayed(link, name)));
    }
    delayed.sort((one, other) => (one.due as number) - (other.due as number));
    return [...ready, ...delayed].slice(0, limit);
  }

  async #peekReady(
    link: NatsLink,
    name: string,
    limit: number,
  ): Promise<{ readonly ready: MessageView[]; readonly delayed: MessageView[] }> {
    const { names, consumer } = this.#options;
    const info = await link.manager.consumers.info(names.stream, name);
    const { delivered, ack_floor, num_ack_pending, num_waiting } = info;
    const here = consumer(name);
    const last = delivered.stream_seq;
    const delayed: MessageView[] = [];
    const ready: MessageView[] = [];
    let requeued: MessageView[] = [];
    let pending = num_ack_pending;
    const readsBetween = pending > 0 && last - ack_floor.stream_seq <= MOST_BETWEEN;
    const from = readsBetween ? ack_floor.stream_seq + 1 : last + 1;
    for await (const stored of readStored(link, names.stream, from)) {
      if (!isFor(name, names.targetOf(stored.subject))) continue;
      if (stored.seq > last) {
        if (requeued.length + ready.length >= limit) break;
        push(ready, this.#view(stored, stored.subject, 1));
        continue;
      }
      if (here?.hasSettled(stored.seq, storedAt(stored)) === true) continue;
      if (here?.holds(stored.seq) === true) {
        pending -= 1;
        continue;
      }
      const attempt = Math.max(1, 2 - (here?.releasesOf(stored.seq) ?? 0));
      const dueAt = here?.away.dueAt(String(stored.seq));
      if (dueAt === undefined) push(requeued, this.#view(stored, stored.subject, attempt));
      else {
        pending -= 1;
        push(delayed, this.#view(stored, stored.subject, attempt, Date.now() + dueAt - performance.now()));
      }
    }
    // The server tells how many of these messages are not settled, and not which. A consumer that waits would have got those that were requeued.
    if (requeued.length > pending || num_waiting > 0) requeued = [];
    return { ready: [...requeued, ...ready], delayed };
  }

  async #peekDelayed(link: NatsLink, name: string): Promise<MessageView[]> {
    const { names } = this.#options;
    const views: MessageView[] = [];
    let read = 0;
    for await (const stored of readStored(link, names.delayedStream, 1)) {
      if (++read > MOST_DELAYED) break;
      const delayed = names.readDelayed(stored.subject);
      if (delayed !== undefined && isFor(name, names.delayedTargetOf(stored.subject)))
        push(views, this.#view(stored, delayed.subject, 1, storedAt(stored) + delayed.delay));
    }
    return views;
  }

  /** @returns undefined for what is no message */
  #view(stored: StoredMsg, subject: string, attempt: number, due?: number): MessageView | undefined {
    const readable = { ...asMessage(stored), subject };
    const facts = { deliveries: attempt, sequence: stored.seq, storedAt: storedAt(stored) };
    const message = readMessage(readable, facts, this.#options.names.keyStart(subject));
    if (typeof message === 'string') return undefined;
    const { token, ...view } = message;
    return due === undefined ? view : { ...view, due };
  }
}

function push<Item>(items: Item[], item: Item | undefined): void {
  if (item !== undefined) items.push(item);
}
