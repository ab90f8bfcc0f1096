import type { ConsumerGroup } from '../backend.js';
import { NOT_COUNTED } from '../internal/answers.js';
import type { Disposition } from './base-delivery.js';
import type { Link } from './connection.js';
import type { DriverDelivery } from './delivery.js';
import type { ErrorKind } from './engine-errors.js';
import { readEnvelope } from './envelope.js';
import type { GroupHost, GroupSession } from './group-loop.js';
import { LeaseTimer, RENEWALS } from './lease-timer.js';
import type { IncomingMessage, PullDriver, StoredSettlement } from './pull-driver.js';
import { type PendingSettlement, SettlementQueue } from './settlement-queue.js';

/** The most messages, and the most settlements, of one exchange. */
const MAX_EXCHANGE = 1000;

/** The default of `pollInterval`, in milliseconds. */
const POLL_INTERVAL = 1000;

/**
 * The longest time between two exchanges, in milliseconds: a consumer of another process may have
 * died.
 */
const LONGEST_WAIT = 15_000;

/** From how many acks on they are sent beside the exchange, if the driver can. */
const MANY = 16;

/** How many acks may wait for the ones that are sent, before claims wait, too. */
const MAX_UNSENT = 500;

type Pending = PendingSettlement<StoredSettlement>;

export interface PullSessionOptions {
  readonly queueName: string;
  readonly group: ConsumerGroup;
  /** In milliseconds. */
  readonly lease: number;
  /** Drops the link if the call fails with a retryable error. */
  readonly call: <Value>(link: Link, call: () => Promise<Value>) => Promise<Value>;
}

/**
 * Runs one group of a `PullDriver`. Settlements and demand are sent together, one exchange at a
 * time.
 */
export class PullSession implements GroupSession<Link> {
  readonly #driver: PullDriver;
  readonly #options: PullSessionOptions;
  readonly #host: GroupHost;
  readonly #settlements = new SettlementQueue<StoredSettlement>(() => 0);
  /** The messages in flight, by receipt. */
  readonly #messages = new Map<string, IncomingMessage>();
  readonly #leaseTimer: LeaseTimer;
  /** The timer has fired, or a reply was lost. */
  #leaseDue = true;
  /** The acks that are sent beside exchanges. */
  #settling: Promise<void> | undefined;
  /** As `performance.now()`. */
  #renewedAt = 0;
  /**
   * The last exchange returned fewer messages than requested. The next one waits for a timer or the
   * engine.
   */
  #isEmpty = false;
  #timer: NodeJS.Timeout | undefined;
  #stopListening: (() => void) | undefined;

  constructor(driver: PullDriver, host: GroupHost, options: PullSessionOptions) {
    this.#driver = driver;
    this.#host = host;
    this.#options = options;
    this.#leaseTimer = new LeaseTimer(options.lease, () => {
      this.#leaseDue = true;
      host.wake();
    });
  }

  get hasWork(): boolean {
    if ((this.#settlements.size > 0 && this.#settling === undefined) || (this.#leaseDue && this.#messages.size > 0))
      return true;
    return !this.#isEmpty && this.#host.inFlight.hasCredit;
  }

  async begin(): Promise<void> {
    this.#isEmpty = false;
    this.#stopListening ??= this.#driver.listen?.(this.#options.group, () => this.#lookAgain());
  }

  async flush(link: Link): Promise<void> {
    const { group, lease, call } = this.#options;
    const { inFlight, isClosing } = this.#host;
    const demand = isClosing ? 0 : Math.min(MAX_EXCHANGE, inFlight.credit);
    const taken = await this.#nextSettlements(demand > 0);
    const isBeside = demand > 0 && this.#mayGoBeside(taken);
    const settlements = isBeside ? [] : taken;
    const now = performance.now();
    const isLeaseDue = this.#leaseDue || now - this.#renewedAt >= lease / RENEWALS;
    if (settlements.length === 0 && demand === 0 && !isLeaseDue) return;
    clearTimeout(this.#timer);
    this.#isEmpty = false;
    const request = {
      settlements: settlements.map((settlement) => stored(settlement, now)),
      inFlight: isLeaseDue ? this.#inFlight(settlements) : undefined,
      demand,
      lease,
    };
    const reply = call(link, () => this.#driver.exchange(group, request));
    // Second, since handlers wait for the exchange, and nothing waits for these.
    if (isBeside) this.#settleBeside(link, taken);
    const { settled, messages, wait } = await reply;
    if (settlements.length > 0) this.#settled(settlements, settled);
    if (isLeaseDue) {
      this.#leaseDue = false;
      this.#renewedAt = now;
      this.#leaseTimer.restart(this.#messages.size > 0 && !this.#host.isClosing);
    }
    if (messages.length < demand) this.#waitFor(wait);
    for (const message of messages) this.#deliver(message);
    this.#leaseTimer.keep(this.#messages.size > 0 && !this.#host.isClosing);
    this.#host.wake();
  }

  settle(delivery: DriverDelivery, { action, isCounted, delay, quarantine }: Disposition): Promise<boolean> {
    const message = this.#messages.get(delivery.token);
    this.#messages.delete(delivery.token);
    if (message === undefined) return NOT_COUNTED;
    if (quarantine !== undefined) this.#quarantine(message, 'is given up', quarantine);
    const settled = this.#settlements.add(delivery.token, {
      message,
      outcome: action === 'requeue' ? 'requeue' : quarantine === undefined ? 'done' : 'quarantine',
      attempt: action === 'requeue' && isCounted ? message.attempt + 1 : message.attempt,
      delay,
      reason: quarantine,
    });
    // What was requeued may come again at once.
    if (action === 'requeue') this.#isEmpty = false;
    this.#host.wake();
    return settled;
  }

  /** Nothing is in transit between two exchanges. */
  turnEnded(): void {
    this.#host.inFlight.quiet();
  }

  interrupted(_error: unknown, kind: ErrorKind): void {
    this.#settling = undefined;
    this.#settlements.putBack({ again: kind === 'retryable' });
    // The lost reply may have had messages.
    this.#leaseDue = true;
  }

  giveUp(error?: Error): void {
    this.#settlements.giveUp(({ resolve, reject }) => (error === undefined ? resolve(false) : reject(error)));
  }

  settled(): Promise<void> {
    return this.#settlements.confirmedNow();
  }

  async leave(link: Link): Promise<void> {
    await this.#settling;
    while (this.#settlements.size > 0) await this.flush(link);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#leaseTimer.stop();
    this.#stopListening?.();
  }

  /** Takes the settlements to send next. */
  async #nextSettlements(isClaiming: boolean): Promise<readonly Pending[]> {
    // A requeued message must be back before the next ones are claimed.
    if (!isClaiming || !this.#settlements.unsent.every(isDone) || this.#settlements.size > MAX_UNSENT)
      await this.#settling;
    return this.#settling === undefined ? this.#settlements.take(MAX_EXCHANGE) : [];
  }

  /**
   * Whether settlements are sent beside the exchange. Only many acks: nothing waits until they are
   * safe, except the next ones. Not again: the exchange may renew a lease that had expired.
   */
  #mayGoBeside(settlements: readonly Pending[]): boolean {
    if (this.#driver.settle === undefined || settlements.length < MANY) return false;
    return settlements.every((settlement) => isDone(settlement) && !settlement.again);
  }

  #settleBeside(link: Link, settlements: readonly Pending[]): void {
    const { group, call } = this.#options;
    const now = performance.now();
    const all = settlements.map((settlement) => stored(settlement, now));
    const settling = call(link, async () => (await this.#driver.settle?.(group, all)) ?? []).then(
      (settled) => {
        // After a failure of the exchange meanwhile, the settlements are sent again.
        if (this.#settling !== settling) return;
        this.#settling = undefined;
        this.#settled(settlements, settled);
        this.#host.wake();
      },
      (error) => {
        if (this.#settling === settling) this.#host.failed(error);
      },
    );
    this.#settling = settling;
  }

  #settled(settlements: readonly Pending[], settled: readonly boolean[]): void {
    const hadLease = performance.now() - this.#renewedAt < this.#options.lease;
    const counted = new Map(settlements.map((settlement, index) => [settlement, settled[index]]));
    // A settlement that is sent again may have counted before its response was lost. Nobody else can
    // have settled the message, unless the lease has expired meanwhile.
    this.#settlements.answered((settlement) => counted.get(settlement) !== false || (settlement.again && hadLease));
  }

  /**
   * What the engine may count as in flight here. Not what this exchange settles: a lost exchange may
   * have settled it, and have delivered it again.
   */
  #inFlight(settlements: readonly Pending[]): IncomingMessage[] {
    const others = this.#settlements.all.filter((settlement) => !settlements.includes(settlement));
    return [...this.#messages.values(), ...others.map(({ action }) => action.message)];
  }

  #lookAgain(): void {
    this.#isEmpty = false;
    this.#host.wake();
  }

  #waitFor(wait = LONGEST_WAIT): void {
    this.#isEmpty = true;
    const { pollInterval = POLL_INTERVAL } = this.#driver;
    const longest = this.#stopListening === undefined ? pollInterval : LONGEST_WAIT;
    if (!this.#host.isClosing) this.#timer = setTimeout(() => this.#lookAgain(), Math.max(1, Math.min(wait, longest)));
  }

  #deliver(message: IncomingMessage): void {
    const { id, receipt, attempt, publishedAt } = message;
    const content = readEnvelope(message);
    if (typeof content === 'string') {
      this.#quarantine(message, 'is invalid', content);
      this.#add(message, 'quarantine', content);
      return;
    }
    this.#messages.set(receipt, message);
    if (this.#host.deliver({ id, token: receipt, ...content, attempt, publishedAt })) return;
    this.#messages.delete(receipt);
    this.#add(message, 'requeue');
  }

  /** Settles a message that no subscriber has seen. */
  #add(message: IncomingMessage, outcome: 'requeue' | 'quarantine', reason?: string): void {
    const settled = this.#settlements.add(message.receipt, {
      message,
      outcome,
      attempt: message.attempt,
      delay: 0,
      reason,
    });
    // If this fails, the lease expires, and the message is delivered again.
    settled.catch(() => {});
  }

  #quarantine({ id }: IncomingMessage, what: string, reason: string): void {
    const message = `Message ${id} of queue ${JSON.stringify(this.#options.queueName)} ${what}`;
    this.#host.quarantined(`${message}:`, reason, this.#driver.quarantine ?? 'the store');
  }
}

function isDone({ action }: Pending): boolean {
  return action.outcome === 'done';
}

/** A settlement as the driver gets it: its delay begins when the message was settled. */
function stored({ action, settledAt }: Pending, now: number): StoredSettlement {
  return { ...action, delay: Math.max(0, action.delay - (now - settledAt)) };
}
