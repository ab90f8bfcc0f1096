import type { Settled } from '../core/delivery.js';
import { type PendingSettlement, SettlementQueue } from '../core/settlement-queue.js';
import { ACK, type Answer, nak, TERMINATE } from './answers.js';
import type { Ticket } from './leases.js';
import { isUnanswered, type NatsLink } from './link.js';
import type { Sweeper } from './sweeper.js';

interface Verdict {
  readonly ticket: Ticket;
  readonly how: Settled;
  /** In milliseconds, from when it was settled. */
  readonly delay: number;
}

export interface SettlingOptions {
  /** The consumer of the group. */
  readonly consumer: string;
  readonly sweeper: Sweeper;
  /** Something was answered, or has to be sent again. */
  readonly onChange: () => void;
  /** Nobody takes settlements. */
  readonly onMissing: (reason: string) => void;
  /** SettlementQueue were not answered, and wait to be sent again. */
  readonly onFailed: (error: unknown) => void;
}

/** How many settlements go together at most. */
const MOST = 1000;

/**
 * Sends the settlements of a group. Those of one turn travel together, and the server confirms the last of them: it takes the answers to one consumer in their
 * order, so that one confirmation is that of all. They belong to no connection: what is done with and was not confirmed is sent again over the next.
 */
export class Settling {
  readonly #options: SettlingOptions;
  readonly #settlements = new SettlementQueue<Verdict>((one, other) => Number(one) - Number(other));
  /** The places of messages that are done with, of which the server has not confirmed that it knows. */
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

  /** Whether something goes back, and the server has not confirmed that it has it: what it is asked for before would come first. */
  get isReturning(): boolean {
    return this.#returning > 0;
  }

  /** Settles a delivery. Resolves to whether that counted. */
  add(ticket: Ticket, how: Settled, delay: number): Promise<boolean> {
    const counts = this.#settlements.add(String(ticket.sequence), { ticket, how, delay });
    if (isDone(how)) this.#finishing.add(ticket.sequence);
    else if (delay === 0) {
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

  /** Whether a message is done with, and the server is about to be told. */
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

  /** Lets go of those whose leases have ended before they could be sent. */
  dropLate(now: number): void {
    this.#settlements.drop((settlement) => {
      const late = isLate(settlement, now);
      if (late) this.#finishing.delete(settlement.verdict.ticket.sequence);
      return late;
    });
  }

  /** None of them will be answered: they do not count, or fail with an error. */
  giveUp(error?: unknown): void {
    this.#finishing.clear();
    this.#settlements.giveUp(({ resolve, reject }) => (error === undefined ? resolve(false) : reject(error)));
  }

  /** Resolves when all there are now are answered. */
  answeredNow(): Promise<void> {
    return this.#settlements.answeredNow();
  }

  /**
   * What was taken was not confirmed, and is sent again; but for what goes back and has left: where the server has that, the message may be with somebody else by
   * then, who would lose it to the second; and where not, the lease brings it back.
   */
  #putBack(left: readonly PendingSettlement<Verdict>[], { again }: { readonly again: boolean }): void {
    const gone = new Set(left.filter(({ verdict }) => !isDone(verdict.how)));
    this.#settlements.putBack({ again });
    // Before they are dropped, or they would not count.
    for (const { resolve } of gone) resolve(true);
    this.#settlements.drop((settlement) => gone.has(settlement));
  }

  #answered(settlements: readonly PendingSettlement<Verdict>[]): void {
    const { consumer, sweeper } = this.#options;
    for (const { verdict } of settlements) {
      const { how, ticket } = verdict;
      this.#finishing.delete(ticket.sequence);
      if (isDone(how)) sweeper.settled(consumer, ticket);
    }
    this.#settlements.answered(() => true);
  }
}

/**
 * Whether the lease of a delivery has ended before its settlement was sent. One that was sent before may have counted then, and is sent again in any case: the
 * worst that a second `ack` can do is to spare somebody the same work.
 */
function isLate({ verdict: { ticket, how }, again }: PendingSettlement<Verdict>, now: number): boolean {
  return ticket.until < now && !(again && isDone(how));
}

/** Whether nobody has to handle the message again. */
function isDone(how: Settled): boolean {
  return how === 'acked' || how === 'rejected';
}

function answerFor({ verdict: { how, delay }, settledAt }: PendingSettlement<Verdict>): Answer {
  if (how === 'acked') return ACK;
  if (how === 'rejected') return TERMINATE;
  return nak(delay === 0 ? 0 : settledAt + delay - performance.now());
}
