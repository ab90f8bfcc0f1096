import type { ConsumerGroup, QueueKey, QueuePayload } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { type Dropped, Group } from './group.js';
import type { Ledger } from './ledger.js';
import { type Message, Publication } from './message.js';
import type { Details } from './message-buffer.js';

/** The groups of a queue: the declared ones, or the one that every consumer is in where groups are ignored. */
export class Groups {
  readonly all: readonly Group[];
  /** The group that everybody is in, where groups are ignored. */
  readonly only: Group | undefined;
  readonly #ledger: Ledger;
  /** How many messages have taken their place, where there are several groups. */
  #placed = 0;

  constructor(declared: 'ignored' | readonly ConsumerGroup[], ledger: Ledger) {
    this.#ledger = ledger;
    this.all = (declared === 'ignored' ? [DEFAULT_GROUP] : declared).map((name) => new Group(name, ledger));
    this.only = declared === 'ignored' ? this.all[0] : undefined;
  }

  /** Whether a consumer waits in every recipient of a message for `name`, with nothing before it. */
  allWait(name: ConsumerGroup | undefined): boolean {
    return this.recipients(name).every((group) => group.ready === 0 && group.line.first !== undefined);
  }

  /** Whether every recipient of a message for `name` has a consumer for it now, or when the handlers that run now have returned. */
  allHaveCredit(name: ConsumerGroup | undefined): boolean {
    return this.recipients(name).every((group) => group.hasCredit);
  }

  /** The group of this name, which is declared or ignored. */
  get(name: ConsumerGroup): Group {
    return this.only ?? (this.all.find((group) => group.name === name) as Group);
  }

  /** The groups that get a message for `name`: undefined stands for all. */
  recipients(name: ConsumerGroup | undefined): readonly Group[] {
    return name === undefined || this.only !== undefined ? this.all : [this.get(name)];
  }

  /** A message takes its place in its groups. */
  add(key: QueueKey, payload: QueuePayload, details: Details): void {
    if (this.only === undefined) this.#share(details as Message);
    else {
      this.#ledger.came();
      this.only.add(key, payload, details);
    }
  }

  /** Drops the message that has the foremost place, wherever it is ready; undefined when none is. */
  dropFirst(): Dropped | undefined {
    if (this.only !== undefined) return this.only.ready > 0 ? this.only.dropFirst() : undefined;
    const place = Math.min(...this.all.map((group) => group.nextPlace));
    let dropped: Dropped | undefined;
    for (const group of this.all) {
      if (group.ready > 0 && group.nextPlace === place) dropped = group.dropFirst();
    }
    return dropped;
  }

  #share(record: Message): void {
    const publication = new Publication(record, this.#placed++);
    const { message } = publication;
    for (const group of this.recipients(record.group)) {
      this.#ledger.shared(publication);
      group.add(message.key, message.payload, message);
    }
  }
}
