import type { Disposition } from '../core/base-delivery.js';
import { type PendingSettlement, SettlementQueue } from '../core/settlement-queue.js';
import { ACK, type Answer, nak, TERMINATE } from './answers.js';
import type { Ticket } from './leases.js';
import { isUnanswered, type NatsLink } from './link.js';
import type { Sweeper } from './sweeper.js';

interface Verdict {
  readonly ticket: Ticket;
  readonly disposition: Disposition;
}

export interface SettlingOptions {
  /** The consumer of the group. */
  readonly consumer: string;
  readonly sweeper: Sweeper;
  /** Settlements were confirmed, or have to be sent again. */
  readonly onChange: () => void;
  /** Nothing takes settlements. */
  readonly onMissing: (reason: string) => void;
  /** Settlements were not confirmed, and wait to be sent again. */
  readonly onFailed: (error: unknown) => void;
}

/** How many settlements go together at most. */
const MOST = 1000;

/**
 * Sends the settlements of a group. Those of one turn are sent together, and the server confirms the last one: it takes the settlements of a consumer in order, so this confirms
 * all of them. An ack or reject that was not confirmed is sent again over the next connection.
 */
export class Settling {
  readonly #options: SettlingOptions;
  readonly #settlements = new SettlementQueue<Verdict>((one, other) => Number(one) - Number(other));
  /** The sequence numbers of messages whose ack or reject is not confirmed. */
  readonly #finishing = new Set<number>();
  #returning = 0;
  #sending: Promise<void> | undefined;

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** Whether something waits to be sent. */
  get isPending(): boolean {
    return this.#settlements.size > 0;
  }

  /** Whether a requeue is not confirmed: a request for messages that is sent before it would get later messages first. */
  get isReturning(): boolean {
    return this.#returning > 0;
  }

  /** Settles a delivery. Resolves to whether that counted. */
  add(ticket: Ticket, disposition: Disposition): Promise<boolean> {
    const counts = this.#settlements.add(String(ticket.sequence), { ticket, disposition });
    if (isDone(disposition)) this.#finishing.add(ticket.sequence);
    else if (disposition.delay === 0) {
      this.#returning += 1;
      const back = () => {
        this.#returning -= 1;
        this.#options.onChange();
      };
      // The caller of `add` gets the error.
      void counts.then(back, back);
    }
    return counts;
  }

  /** Whether the ack or reject of a message is not confirmed. */
  isFinishing(sequence: number): boolean {
    return this.#finishing.has(sequence);
  }

  /** Sends the settlements that wait, once those on their way are confirmed. */
  send(link: NatsLink): Promise<void> {
    if (this.#sending === undefined && this.isPending) {
      this.#sending = this.#send(link).then(() => {
        this.#sending = undefined;
        this.#options.onChange();
      });
    }
    return this.#sending ?? Promise.resolve();
  }

  async #send(link: NatsLink): Promise<void> {
    this.dropLate(performance.now());
    const settlements = this.#settlements.take(MOST);
    const before = settlements.slice(0, -1);
    const last = settlements.at(-1);
    const { isUp } = link;
    try {
      for (const settlement of before) link.publish(settlement.verdict.ticket.reply, answerFor(settlement));
      const answer = last && (await link.request(last.verdict.ticket.reply, answerFor(last)));
      if (answer !== undefined && isUnanswered(answer)) {
        // The server is going down, or the group is gone: they are sent again when it is back.
        this.#putBack(before, { again: true });
        this.#options.onMissing('nothing takes its settlements');
      } else this.#answered(settlements);
    } catch (error) {
      this.#putBack(isUp ? settlements : [], { again: isUp });
      this.#options.onFailed(error);
    }
  }

  /** Drops the settlements whose leases have expired before they were sent. */
  dropLate(now: number): void {
    this.#settlements.drop((settlement) => {
      const late = isLate(settlement, now);
      if (late) this.#finishing.delete(settlement.verdict.ticket.sequence);
      return late;
    });
  }

  /** Resolves all to `false`, or rejects them with an error. */
  giveUp(error?: unknown): void {
    this.#finishing.clear();
    this.#settlements.giveUp(({ resolve, reject }) => (error === undefined ? resolve(false) : reject(error)));
  }

  /** Resolves when the settlements of now are confirmed. */
  answeredNow(): Promise<void> {
    return this.#settlements.answeredNow();
  }

  /**
   * Sends again what was not confirmed, except a requeue that has left. If the server has it, another consumer may hold the message, and would lose it to a second requeue. If not,
   * the lease expires.
   */
  #putBack(left: readonly PendingSettlement<Verdict>[], { again }: { readonly again: boolean }): void {
    const gone = new Set(left.filter(({ verdict }) => !isDone(verdict.disposition)));
    this.#settlements.putBack({ again });
    // Before they are dropped, or they would not count.
    for (const { resolve } of gone) resolve(true);
    this.#settlements.drop((settlement) => gone.has(settlement));
  }

  #answered(settlements: readonly PendingSettlement<Verdict>[]): void {
    const { consumer, sweeper } = this.#options;
    for (const { verdict } of settlements) {
      const { disposition, ticket } = verdict;
      this.#finishing.delete(ticket.sequence);
      if (isDone(disposition)) sweeper.settled(consumer, ticket);
    }
    this.#settlements.answered(() => true);
  }
}

/**
 * Whether a lease has expired before the settlement was sent. An ack that was sent before may have counted, and is sent again in any case: at worst, it spares another consumer the
 * same work.
 */
function isLate({ verdict: { ticket, disposition }, again }: PendingSettlement<Verdict>, now: number): boolean {
  return ticket.until < now && !(again && isDone(disposition));
}

/** Whether the message is not delivered again. */
function isDone({ action }: Disposition): boolean {
  return action !== 'requeue';
}

function answerFor({ verdict: { disposition }, settledAt }: PendingSettlement<Verdict>): Answer {
  const { action, delay } = disposition;
  if (action === 'finish') return ACK;
  if (action === 'drop') return TERMINATE;
  return nak(delay === 0 ? 0 : settledAt + delay - performance.now());
}
