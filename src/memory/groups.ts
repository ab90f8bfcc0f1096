import type { ConsumerGroup, QueueKey, QueuePayload } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { type Dropped, Group } from './group.js';
import type { Ledger } from './ledger.js';
import { type Message, Publication } from './message.js';
import type { Details } from './message-buffer.js';

/** The groups of a queue: the one that everybody is in, or those that were declared and those that came late. */
export class Groups {
  readonly all: Group[];
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

  /** Whether a consumer waits in every group, with nothing before it. */
  get allWait(): boolean {
    return this.all.every((group) => group.ready === 0 && group.line.first !== undefined);
  }

  /** Whether what comes now goes straight to a consumer in every group, at the latest when the handlers that run now have returned. */
  get allHaveCredit(): boolean {
    return this.all.every((group) => group.hasCredit);
  }

  find(name: ConsumerGroup): Group | undefined {
    return this.only ?? this.all.find((group) => group.name === name);
  }

  /** The group of a consumer. One that was not declared comes into being, with what the queue still holds. */
  join(name: ConsumerGroup): Group {
    const existing = this.find(name);
    if (existing !== undefined) return existing;
    const group = new Group(name, this.#ledger);
    this.all.push(group);
    for (const publication of [...this.#ledger.held]) this.#share(publication, group);
    return group;
  }

  /** A message takes its place in every group. */
  add(key: QueueKey, payload: QueuePayload, details: Details): void {
    if (this.only === undefined) this.#addToAll(details as Message);
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

  #addToAll(message: Message): void {
    const publication = new Publication(message, this.#placed++);
    for (const group of this.all) this.#share(publication, group);
  }

  #share(publication: Publication, group: Group): void {
    const { message } = publication;
    this.#ledger.shared(publication);
    group.add(message.key, message.payload, message);
  }
}
