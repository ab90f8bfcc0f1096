import { randomBytes } from 'node:crypto';
import type { ConsumerGroup, GroupInfo, MessageView, QueueDiagnosis, QueueStats } from '../backend.js';
import type { DriverAdministration } from '../core/driver.js';
import { EngineErrors } from '../core/engine-errors.js';
import { readEnvelope } from '../core/envelope.js';
import type { ExchangeReply, ExchangeRequest, OutgoingMessage, PullDriver } from '../core/pull-driver.js';
import { shellCommand, type UnreadGroup, UnreadGroups } from '../core/unread-group.js';
import { Database } from './database.js';
import { diagnose } from './diagnosis.js';
import { exchangeArguments, type Incoming, publishArguments, type ReplyRow, readReply, UNLIMITED } from './exchange.js';
import { identifier } from './migrations.js';
import { fromText, toText } from './names.js';
import { type CheckedPostgresOptions, POSTGRES_URL } from './options.js';
import { classify, explain, isDeadlock, isMissing } from './postgres-errors.js';
import type { Queryable } from './queryable.js';
import { Topology } from './topology.js';

/** The longest payload, in bytes: PostgreSQL takes 1 GB in one message of its protocol. */
const MAX_PAYLOAD = 128 * 1024 * 1024;

/** How long the server remembers a batch beyond `publishTimeout`, in milliseconds. */
const REMEMBERED = 60_000;

/** How often messages that no group needs are removed, in milliseconds. */
const SWEEP_INTERVAL = 600_000;

/** How often all unplaced messages are searched, and how far back otherwise, in milliseconds. */
const FULL_SEARCH = 1000;
const RECENT = 10_000;

/** The first and the longest look of an idle consumer, and that without notifications, in milliseconds. */
const FIRST_LOOK = 50;
const LONGEST_LOOK = 30_000;
const POLL_INTERVAL = 1000;

/** One group of this process: one consumer of the database. */
interface Consumer {
  readonly id: string;
  /** How often in a row it has found less than it asked for. */
  idleLooks: number;
  searchedAt: number;
  /** The number of its last request: a renewal that arrives late does not count. */
  requests: number;
}

/** The largest reply that the queue asks for, in characters, as far as it knows its messages. */
const MAX_REPLY = 16_000_000;

type Row = Record<string, unknown>;

/** A queue in PostgreSQL. */
export class PostgresDriver implements PullDriver<Incoming> {
  readonly engine = 'PostgreSQL';
  readonly maxPayload: number = MAX_PAYLOAD;
  readonly server: string;
  readonly quarantine: string;
  readonly classify: typeof classify = classify;
  readonly administration: DriverAdministration;
  readonly #options: CheckedPostgresOptions;
  readonly #database: Database;
  readonly #topology: Topology;
  readonly #failures: EngineErrors;
  readonly #schema: string;
  readonly #queue: string;
  readonly #publisher = randomBytes(8).toString('hex');
  readonly #consumers = new Map<ConsumerGroup, Consumer>();
  readonly #listeners = new Set<() => void>();
  readonly #unreadGroups: UnreadGroups<Database>;
  #listens = false;
  /** Since when the server has answered without a gap, as `performance.now()`. */
  #steadySince = Number.NEGATIVE_INFINITY;
  #sweptAt = performance.now();
  #isOpen = false;
  /** The length of the largest recent payload. */
  #largest = 1;
  #opening: Promise<void> | undefined;
  /** This process has deleted the queue, or is just doing so. */
  #isDeleted = false;

  constructor(options: CheckedPostgresOptions) {
    this.#options = options;
    const { server, schema, name, logger, groups } = options;
    this.#database = new Database(options);
    this.#schema = identifier(schema);
    this.#queue = toText(name);
    this.server = ('url' in server && POSTGRES_URL.whereOf(server.url)) || 'the server of `client`';
    const { engine, server: where } = this;
    this.#failures = new EngineErrors(
      { engine, classify, explain: (error) => this.explain(error) },
      { queue: name, server: where },
    );
    this.#topology = new Topology(options, this.#failures);
    this.quarantine = `the table ${this.#schema}.quarantine`;
    this.administration = {
      groups: () => this.#whereFound(undefined, () => this.#listGroups()),
      deleteGroup: (group, signal) =>
        this.#whereFound(
          undefined,
          async () => (await this.#change<boolean>(signal, 'delete_group', [toText(group)])) === true,
        ),
      peek: (group, limit) => this.#whereFound(group, () => this.#peek(group, limit)),
      purge: (group, signal) =>
        this.#whereFound(group, async () => {
          const given = [group === undefined ? null : toText(group)];
          const removed = (await this.#change<number>(signal, 'purge', given)) ?? 0;
          await this.#change(signal, 'sweep', []);
          return removed;
        }),
      diagnose: () => this.#whereFound(undefined, () => this.#diagnose()),
      deleteQueue: (signal) => this.#deleteQueue(signal),
    };
    this.#unreadGroups = new UnreadGroups({
      queue: name,
      logger,
      isFinal: (error) => classify(error) === 'fatal',
      find: async function* (this: PostgresDriver): AsyncGenerator<UnreadGroup> {
        for (const { name: group, unfinished: count, consumers = 0 } of await this.#listGroups()) {
          if (groups.includes(group) || this.#consumers.has(group) || consumers > 0) continue;
          const literals = [this.#queue, toText(group)].map((text) => `'${text.replaceAll("'", "''")}'`);
          const sql = `SELECT ${this.#schema}.delete_group(${literals.join(', ')})`;
          yield { queue: name, group, count, deletion: shellCommand(['psql', '-c', sql]) };
        }
      }.bind(this),
    });
  }

  explain(error: unknown): string | undefined {
    return explain(error, this.#options.schema);
  }

  /** Creates the tables, the queue and its groups, unless they exist. */
  async open(lost = this.#database.onLost): Promise<void> {
    this.#database.onLost = lost;
    if (this.#isOpen) this.#database.renew();
    await this.#topology.open(this.#query);
    if (this.#topology.isDeleting) return;
    if (this.#isOpen) this.#steadySince = performance.now();
    this.#isOpen = true;
    void this.#unreadGroups.look(this.#database);
  }

  async publish(messages: readonly OutgoingMessage[], batch: number): Promise<void> {
    const { publishTimeout, dedupeWindow } = this.#options;
    if (this.#isDeleted) throw this.#failures.notFound();
    const values = [this.#publisher, batch, publishTimeout + REMEMBERED, dedupeWindow, ...publishArguments(messages)];
    await this.#again(
      () => this.#call('publish', values),
      () => messages.flatMap(({ group = [] }) => group),
    );
  }

  /** Publishes in a transaction of the application. */
  async publishWithin(transaction: Queryable, message: OutgoingMessage): Promise<void> {
    const query: Database['query'] = async <Of>(text: string, values: unknown[] = []) =>
      (await transaction.query(text, values)).rows as Of[];
    // A statement that fails would abort the transaction: the tables must be there.
    if (!this.#isOpen) await ((await this.#database.isEmbedded()) ? this.#topology.open(query) : this.#openOnce());
    const sent = publishArguments([message]);
    try {
      await query(this.#sql('publish', 7), [this.#queue, null, null, null, this.#options.dedupeWindow, ...sent]);
    } catch (error) {
      if (isMissing(error) && !this.#topology.mayCreate) throw this.#failures.notFound(message.group);
      throw error;
    }
  }

  async exchange(group: ConsumerGroup, request: ExchangeRequest<Incoming>): Promise<ExchangeReply<Incoming>> {
    const { lease } = request;
    // Until the queue is closed, its consumers get nothing.
    if (this.#isDeleted) return { settled: request.settlements.map(() => false), messages: [], wait: lease };
    const demand = Math.min(request.demand, Math.ceil(MAX_REPLY / this.#largest));
    const consumer = this.#consumerOf(group);
    const now = performance.now();
    const isFullSearch = demand > 0 && now - consumer.searchedAt >= FULL_SEARCH;
    if (isFullSearch) consumer.searchedAt = now;
    const reply = await this.#exchange(group, { ...request, demand }, [
      now - this.#steadySince > lease / 2,
      this.#database.isListening,
      isFullSearch ? UNLIMITED : RECENT,
    ]);
    this.#sweep();
    if (reply.messages.length > 0 || demand === 0) consumer.idleLooks = 0;
    // Large messages come one by one, until some small ones have come.
    this.#largest = Math.max(1, this.#largest / 2, ...reply.messages.map(({ payload }) => payload.length));
    if (reply.messages.length >= demand) return { ...reply, wait: 0 };
    // A message of a transaction that began before this consumer was idle notifies nobody.
    const { pollInterval = POLL_INTERVAL } = this.#options;
    const longest = this.#database.isListening ? LONGEST_LOOK : pollInterval;
    const look = Math.min(longest, FIRST_LOOK * 2 ** consumer.idleLooks++);
    return { ...reply, wait: Math.min(reply.wait ?? look, look, lease / 2) };
  }

  async settle(
    group: ConsumerGroup,
    settlements: ExchangeRequest<Incoming>['settlements'],
  ): Promise<readonly boolean[]> {
    if (this.#isDeleted) return settlements.map(() => false);
    const request = { settlements, inFlight: undefined, demand: 0, lease: this.#options.lease };
    return (await this.#exchange(group, request, [false, false, 0])).settled;
  }

  async #exchange(
    group: ConsumerGroup,
    request: ExchangeRequest<Incoming>,
    looks: readonly unknown[],
  ): Promise<ExchangeReply<Incoming>> {
    const consumer = this.#consumerOf(group);
    let number = 0;
    const rows = await this.#again(
      () => {
        number = ++consumer.requests;
        const given = [toText(group), consumer.id, number, request.lease, ...exchangeArguments(request), ...looks];
        return this.#call<ReplyRow>('exchange', given, true);
      },
      () => [group],
    );
    return readReply(rows, request.settlements, number);
  }

  listen(_group: ConsumerGroup, wake: () => void): () => void {
    this.#listeners.add(wake);
    if (!this.#listens && this.#options.pollInterval === undefined) {
      this.#listens = true;
      const all = () => {
        for (const listener of this.#listeners) listener();
      };
      const own = `${this.#options.schema}.${this.#queue}`;
      this.#database.listen((text) => text === own && all(), all);
    }
    return () => this.#listeners.delete(wake);
  }

  async count(group: ConsumerGroup | undefined): Promise<QueueStats> {
    return this.#whereFound(group, async () => {
      const given = [group === undefined ? null : toText(group)];
      return (await this.#call<QueueStats>('count_messages', given, true))[0] as QueueStats;
    });
  }

  async close(): Promise<void> {
    const ids = [...this.#consumers.values()].map(({ id }) => id);
    if (ids.length > 0) await this.#database.query(`SELECT ${this.#schema}.leave($1, false)`, [ids]);
    if (this.#isOpen && (await this.#database.isEmbedded())) await this.#database.close();
  }

  destroy(): void {
    void this.#database.close();
  }

  /** Creates nothing while the queue is deleted. If that fails, all is as before. */
  async whileDeleting(run: () => Promise<void>): Promise<void> {
    this.#topology.isDeleting = true;
    try {
      await run();
    } catch (error) {
      this.#topology.isDeleting = false;
      // It connected without creating anything.
      if (!this.#isOpen) this.#database.onLost(error);
      throw error;
    }
  }

  /** Opens for several publishes at once, which keep their order. */
  #openOnce(): Promise<void> {
    this.#opening ??= this.open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Calls a function of a queue and a group that exist. With `create: true`, they may be missing. */
  async #whereFound<Value>(group: ConsumerGroup | undefined, call: () => Promise<Value>): Promise<Value> {
    if (!this.#topology.mayCreate) await this.#topology.check(this.#query, group === undefined ? [] : [group]);
    return call();
  }

  async #diagnose(): Promise<QueueDiagnosis> {
    const { server, schema, lease } = this.#options;
    const isEmbedded = await this.#database.isEmbedded();
    return diagnose({
      query: this.#query,
      schema,
      queue: this.#queue,
      lease,
      clients: 'client' in server ? [] : [isEmbedded ? '@electric-sql/pglite' : 'pg'],
      isEmbedded,
      isInMemory: 'url' in server && server.url === 'pglite:memory',
      isPooled: await this.#database.isPooled(),
    });
  }

  /** Deletes the queue. The tables stay. */
  async #deleteQueue(signal: AbortSignal): Promise<void> {
    const [tables] = await this.#query<Row>('SELECT to_regclass($1) IS NOT NULL AS exist', [`${this.#schema}.queues`]);
    if (tables?.exist !== true) return;
    this.#isDeleted = true;
    try {
      await this.#change(signal, 'delete_queue', [this.#publisher]);
      // The call has failed: this process may create the queue again.
      signal.throwIfAborted();
    } catch (error) {
      this.#isDeleted = false;
      throw error;
    }
  }

  #consumerOf(group: ConsumerGroup): Consumer {
    const known = this.#consumers.get(group);
    if (known !== undefined) return known;
    const consumer = { id: String(randomBytes(8).readBigInt64LE()), idleLooks: 0, searchedAt: 0, requests: 0 };
    this.#consumers.set(group, consumer);
    return consumer;
  }

  readonly #query: Database['query'] = (text, values) => this.#database.query(text, values);

  /** Calls a function of the schema with the name of the queue. */
  async #call<Value>(name: string, values: readonly unknown[], isTable = false): Promise<Value[]> {
    const given = [this.#queue, ...values];
    const rows = await this.#database.query<Row>(this.#sql(name, given.length, isTable), given);
    return (isTable ? rows : rows.map((row) => row.value)) as Value[];
  }

  /**
   * Calls a function that changes the whole queue. It repeats the call after a deadlock: consumers
   * and publishers may have taken the locks in another order.
   */
  async #change<Value>(signal: AbortSignal, name: string, values: readonly unknown[]): Promise<Value | undefined> {
    for (;;) {
      try {
        return (await this.#call<Value>(name, values))[0];
      } catch (error) {
        if (!isDeadlock(error)) throw error;
        signal.throwIfAborted();
      }
    }
  }

  #sql(name: string, count: number, isTable = false): string {
    const call = `${this.#schema}.${name}(${Array.from({ length: count }, (_, index) => `$${index + 1}`).join(', ')})`;
    return isTable ? `SELECT * FROM ${call}` : `SELECT ${call} AS value`;
  }

  /** Creates what somebody has deleted meanwhile, and repeats the call. */
  async #again<Value>(call: () => Promise<Value>, groups: () => readonly ConsumerGroup[]): Promise<Value> {
    try {
      return await call();
    } catch (error) {
      if (!isMissing(error) || this.#topology.isDeleting) throw error;
      await this.open();
      for (const group of new Set(groups())) await this.#topology.openGroup(this.#query, group);
      return call();
    }
  }

  #sweep(): void {
    const now = performance.now();
    if (now - this.#sweptAt < SWEEP_INTERVAL) return;
    this.#sweptAt = now;
    void this.#call('sweep', []).catch(() => {});
  }

  async #listGroups(): Promise<Omit<GroupInfo, 'declared'>[]> {
    const rows = await this.#call<Omit<GroupInfo, 'declared'>>('list_groups', [], true);
    return rows.map((row) => ({ ...row, name: fromText(row.name) }));
  }

  async #peek(group: ConsumerGroup, limit: number): Promise<MessageView[]> {
    const rows = await this.#call<ReplyRow & { readonly due: number | null }>('peek', [toText(group), limit], true);
    return rows.flatMap((row): MessageView[] => {
      const { id, attempt, published_at: publishedAt, due } = row;
      const content = readEnvelope({
        key: fromText(row.key),
        payload: row.payload,
        metadata: row.metadata ?? undefined,
      });
      // A consumer moves an invalid message to quarantine.
      if (typeof content === 'string') return [];
      const view = { id: fromText(id), ...content, attempt, publishedAt };
      return [due === null ? view : { ...view, due }];
    });
  }
}
