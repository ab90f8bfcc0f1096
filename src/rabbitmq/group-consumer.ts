import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import type { DriverConsumer } from '../core/driver.js';
import { GroupLoop } from '../core/group-loop.js';
import { SubscriberConnection } from './consuming.js';
import { LONGEST_DELAY } from './delays.js';
import type { RabbitLink } from './link.js';
import type { SessionOptions } from './session-options.js';
import { SubscriberSession } from './subscriber-session.js';

/** A loop with the session of its only subscriber. */
interface Member {
  readonly loop: GroupLoop<RabbitLink>;
  readonly session: SubscriberSession;
}

/** All subscriptions of this process to one group. The broker shares the messages among them. */
export class GroupConsumer implements DriverConsumer {
  readonly #options: SessionOptions;
  readonly #members = new Set<Member>();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get inFlight(): number {
    return this.#sum((session) => session.inFlight);
  }

  /** How many prefetched messages wait for credit. */
  get buffered(): number {
    return this.#sum((session) => session.buffered);
  }

  /** The unique ids of all messages that are here, or that were requeued a moment ago. */
  get ids(): string[] {
    return [...[...this.#members].flatMap(({ session }) => session.ids), ...this.#options.requeued.ids];
  }

  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    const { queueName, group, consuming, failures, events, logger, log } = this.#options;
    const connection = new SubscriberConnection(consuming);
    let session!: SubscriberSession;
    const loop = new GroupLoop<RabbitLink>({
      queueName,
      group,
      connection,
      failures,
      reports: log.reportsOf(connection),
      events,
      logger,
      longestDelay: LONGEST_DELAY,
      createSession: (host) => {
        session = new SubscriberSession(host, this.#options, subscriber, intake);
        return session;
      },
    });
    const member = { loop, session };
    this.#members.add(member);
    void session.ended.then(() => {
      this.#members.delete(member);
      loop.abandon();
      connection.close();
      log.left(connection);
    });
    loop.connect(subscriber, intake);
    subscriber.add(() => {
      session.unsubscribed();
      // Without a channel, nothing is left to wait for.
      if (!connection.isReady) connection.close();
    });
  }

  async settled(): Promise<void> {
    await this.#all(({ session }) => session.settled());
  }

  /** Resolves when all messages that the broker had sent have arrived. */
  async arrived(): Promise<void> {
    await this.#all(({ session }) => session.arrived());
  }

  /** Resolves when the broker has all settlements of this process. */
  async requeued(): Promise<void> {
    await this.#all(({ session }) => session.requeued());
  }

  /** Removes the prefetched messages. Resolves to how many. */
  async purge(): Promise<number> {
    const purged = await Promise.all([...this.#members].map(({ session }) => session.purge()));
    this.#options.requeued.clear();
    return purged.reduce((sum, count) => sum + count, 0);
  }

  async close(): Promise<void> {
    await this.#all(({ loop }) => loop.close());
  }

  abandon(): void {
    for (const { loop } of this.#members) loop.abandon();
  }

  #sum(count: (session: SubscriberSession) => number): number {
    let sum = 0;
    for (const { session } of this.#members) sum += count(session);
    return sum;
  }

  async #all(what: (member: Member) => Promise<void>): Promise<void> {
    await Promise.all([...this.#members].map(what));
  }
}
