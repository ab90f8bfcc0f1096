import type { Disposition } from '../core/base-delivery.js';
import { type PendingSettlement, SettlementQueue } from '../core/settlement-queue.js';
import { ACK, type Answer, answerAll, nak, TERMINATE, type Ticket } from './leases.js';
import { isUnanswered, type NatsLink } from './link.js';
import type { Sweeper } from './sweeper.js';

interface Verdict {
  readonly ticket: Ticket;
  readonly disposition: Disposition;
}

type Settlement = PendingSettlement<Verdict>;

export interface SettlingOptions {
  readonly consumer: string;
  readonly sweeper: Sweeper;
  readonly onChange: () => void;
  /** No consumer has received the settlements. */
  readonly onMissing: (reason: string) => void;
  /** Settlements are not confirmed, and wait to be sent again. */
  readonly onFailed: (error: unknown) => void;
}

const BATCH = 1000;

/** Sends the settlements of a group, and unconfirmed acks and rejects again over the next link. */
export class Settling {
  readonly #options: SettlingOptions;
  readonly #settlements = new SettlementQueue<Verdict>((one, other) => Number(one) - Number(other));
  readonly #finishing = new Set<number>();
  #requeuing = 0;
  #sending: Promise<void> | undefined;

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  get isPending(): boolean {
    return this.#settlements.size > 0;
  }

  /** Whether a requeue is unconfirmed: a request for messages would get later messages first. */
  get isRequeuing(): boolean {
    return this.#requeuing > 0;
  }

  /** Resolves to whether the settlement counted. */
  add(ticket: Ticket, disposition: Disposition): Promise<boolean> {
    const counts = this.#settlements.add(String(ticket.sequence), { ticket, disposition });
    if (isFinal(disposition)) this.#finishing.add(ticket.sequence);
    else if (disposition.delay === 0) {
      this.#requeuing += 1;
      const requeued = () => {
        this.#requeuing -= 1;
        this.#options.onChange();
      };
      // The caller of `add` gets the error.
      void counts.then(requeued, requeued);
    }
    return counts;
  }

  isFinishing(sequence: number): boolean {
    return this.#finishing.has(sequence);
  }

  /** Sends the pending settlements when those before are confirmed. */
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
    const settlements = this.#settlements.take(BATCH);
    const { isUp } = link;
    try {
      const response = await answerAll(link, settlements, replyOf, answerTo);
      if (response !== undefined && isUnanswered(response)) {
        // The server shuts down, or the group is gone. They are sent again when it is back.
        this.#putBack(settlements.slice(0, -1), { again: true });
        this.#options.onMissing('nothing takes its settlements');
      } else this.#confirmed(settlements);
    } catch (error) {
      this.#putBack(isUp ? settlements : [], { again: isUp });
      this.#options.onFailed(error);
    }
  }

  /** Drops the unsent settlements whose leases have expired. */
  dropLate(now: number): void {
    this.#settlements.drop((settlement) => {
      const late = isLate(settlement, now);
      if (late) this.#finishing.delete(settlement.verdict.ticket.sequence);
      return late;
    });
  }

  /** Rejects all settlements with an error. Without an error, resolves them to `false`. */
  giveUp(error?: unknown): void {
    this.#finishing.clear();
    this.#settlements.giveUp(({ resolve, reject }) => (error === undefined ? resolve(false) : reject(error)));
  }

  answeredNow(): Promise<void> {
    return this.#settlements.answeredNow();
  }

  /**
   * Puts unconfirmed settlements back, except requeues that were sent. If the server has carried
   * one out, another consumer may have the message in flight, and would lose it to a second
   * requeue. If not, the lease expires.
   */
  #putBack(sent: readonly Settlement[], { again }: { readonly again: boolean }): void {
    const requeues = new Set(sent.filter(({ verdict }) => !isFinal(verdict.disposition)));
    this.#settlements.putBack({ again });
    // `drop` resolves the others to `false`.
    for (const { resolve } of requeues) resolve(true);
    this.#settlements.drop((settlement) => requeues.has(settlement));
  }

  #confirmed(settlements: readonly Settlement[]): void {
    const { consumer, sweeper } = this.#options;
    for (const { verdict } of settlements) {
      const { disposition, ticket } = verdict;
      this.#finishing.delete(ticket.sequence);
      if (isFinal(disposition)) sweeper.settled(consumer, ticket);
    }
    this.#settlements.answered(() => true);
  }
}

/** Whether the lease has expired. An ack that was sent before is kept: it may have counted. */
function isLate({ verdict: { ticket, disposition }, again }: Settlement, now: number): boolean {
  return ticket.until < now && !(again && isFinal(disposition));
}

function isFinal({ action }: Disposition): boolean {
  return action !== 'requeue';
}

function replyOf({ verdict }: Settlement): string {
  return verdict.ticket.reply;
}

function answerTo({ verdict: { disposition }, settledAt }: Settlement): Answer {
  const { action, delay } = disposition;
  if (action === 'finish') return ACK;
  if (action === 'drop') return TERMINATE;
  return nak(delay === 0 ? 0 : settledAt + delay - performance.now());
}
