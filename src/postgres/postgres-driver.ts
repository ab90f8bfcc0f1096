import { randomBytes } from 'node:crypto';
import type { ConsumerGroup, GroupInfo, MessageView, QueueStats } from '../backend.js';
import type { DriverAdministration } from '../core/driver.js';
import { FatalError } from '../core/engine-errors.js';
import { readEnvelope } from '../core/envelope.js';
import type { ExchangeReply, ExchangeRequest, OutgoingMessage, PullDriver } from '../core/pull-driver.js';
import { shellCommand, type UnreadGroup, UnreadGroups } from '../core/unread-group.js';
import { Database } from './database.js';
import { exchangeArguments, type Incoming, publishArguments, type ReplyRow, readReply, UNLIMITED } from './exchange.js';
import { identifier, migrations, VERSION } from './migrations.js';
import { fromText, toText } from './names.js';
import { type CheckedPostgresOptions, POSTGRES_URL } from './options.js';
import { classify, explain, isMissing } from './postgres-errors.js';
import type { Queryable } from './queryable.js';

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

  constructor(options: CheckedPostgresOptions) {
    this.#options = options;
    const { server, schema, name, logger, groups } = options;
    this.#database = new Database(options);
    this.#schema = identifier(schema);
    this.#queue = toText(name);
    this.server = ('url' in server && POSTGRES_URL.whereOf(server.url)) || 'the server of `client`';
    this.quarantine = `the table ${this.#schema}.quarantine`;
    this.administration = {
      groups: () => this.#listGroups(),
      deleteGroup: async (group) => (await this.#call<boolean>('delete_group', [toText(group)]))[0] === true,
      peek: (group, limit) => this.#peek(group, limit),
      purge: async (group) => {
        const [removed = 0] = await this.#call<number>('purge', [group === undefined ? null : toText(group)]);
        await this.#call('sweep', []);
        return removed;
      },
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
    await this.#openWith((text, values) => this.#database.query(text, values));
    if (this.#isOpen) this.#steadySince = performance.now();
    this.#isOpen = true;
    void this.#unreadGroups.look(this.#database);
  }

  async publish(messages: readonly OutgoingMessage[], batch: number): Promise<void> {
    const { publishTimeout, dedupeWindow } = this.#options;
    const values = [this.#publisher, batch, publishTimeout + REMEMBERED, dedupeWindow, ...publishArguments(messages)];
    await this.#again(() => this.#call('publish', values));
  }

  /** Publishes in a transaction of the application. */
  async publishWithin(transaction: Queryable, message: OutgoingMessage): Promise<void> {
    const query: Database['query'] = async <Of>(text: string, values: unknown[] = []) =>
      (await transaction.query(text, values)).rows as Of[];
    // A statement that fails would abort the transaction: the tables must be there.
    if (!this.#isOpen) await ((await this.#database.isEmbedded()) ? this.#openWith(query) : this.#openOnce());
    const sent = publishArguments([message]);
    await query(this.#sql('publish', 7), [this.#queue, null, null, null, this.#options.dedupeWindow, ...sent]);
  }

  async exchange(group: ConsumerGroup, request: ExchangeRequest<Incoming>): Promise<ExchangeReply<Incoming>> {
    const { lease } = request;
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
    const rows = await this.#again(() => {
      number = ++consumer.requests;
      const given = [toText(group), consumer.id, number, request.lease, ...exchangeArguments(request), ...looks];
      return this.#call<ReplyRow>('exchange', given, true);
    }, [group]);
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
    const [counts] = await this.#call<QueueStats>('count_messages', [group === undefined ? null : toText(group)], true);
    return counts as QueueStats;
  }

  async close(): Promise<void> {
    const ids = [...this.#consumers.values()].map(({ id }) => id);
    if (ids.length > 0) await this.#database.query(`SELECT ${this.#schema}.leave($1, false)`, [ids]);
    if (this.#isOpen && (await this.#database.isEmbedded())) await this.#database.close();
  }

  destroy(): void {
    void this.#database.close();
  }

  /** Opens for several publishes at once, which keep their order. */
  #openOnce(): Promise<void> {
    this.#opening ??= this.open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #openWith(query: Database['query']): Promise<void> {
    const { groups, groupsDeclared } = this.#options;
    await this.#migrate(query);
    await query(this.#sql('open', 3), [this.#queue, groups.map(toText), !groupsDeclared]);
  }

  async #migrate(query: Database['query']): Promise<void> {
    const { schema, migrate } = this.#options;
    const [state] = await query<Row>(
      `SELECT current_setting('server_encoding') AS encoding, current_setting('default_transaction_isolation') AS isolation,
        EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'version') AS "exists"`,
      [schema],
    );
    if (state?.encoding !== 'UTF8') throw fatal(`The database has the encoding ${state?.encoding}, expected UTF8`);
    if (state.isolation !== 'read committed')
      throw fatal(`Transactions are ${state.isolation} by default, expected read committed`);
    const version = async () => {
      const [row] = await query<Row>(`SELECT max(number)::integer AS number FROM ${this.#schema}.version`);
      return Number(row?.number ?? 0);
    };
    let found = state.exists ? await version() : 0;
    if (found < VERSION && migrate) {
      for (const sql of migrations(schema).slice(found)) await query(sql);
      found = await version();
    }
    if (found === VERSION) return;
    const advice =
      found > VERSION ? 'Update this library' : 'Run the SQL of migrations(), or leave the option `migrate` on';
    throw fatal(`The tables in schema ${this.#schema} have version ${found}, expected ${VERSION}. ${advice}`);
  }

  #consumerOf(group: ConsumerGroup): Consumer {
    const known = this.#consumers.get(group);
    if (known !== undefined) return known;
    const consumer = { id: String(randomBytes(8).readBigInt64LE()), idleLooks: 0, searchedAt: 0, requests: 0 };
    this.#consumers.set(group, consumer);
    return consumer;
  }

  /** Calls a function of the schema with the name of the queue. */
  async #call<Value>(name: string, values: readonly unknown[], isTable = false): Promise<Value[]> {
    const given = [this.#queue, ...values];
    const rows = await this.#database.query<Row>(this.#sql(name, given.length, isTable), given);
    return (isTable ? rows : rows.map((row) => row.value)) as Value[];
  }

  #sql(name: string, count: number, isTable = false): string {
    const call = `${this.#schema}.${name}(${Array.from({ length: count }, (_, index) => `$${index + 1}`).join(', ')})`;
    return isTable ? `SELECT * FROM ${call}` : `SELECT ${call} AS value`;
  }

  /** Creates what somebody has deleted meanwhile, and repeats the call. */
  async #again<Value>(call: () => Promise<Value>, groups: readonly ConsumerGroup[] = []): Promise<Value> {
    try {
      return await call();
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.open();
      if (groups.length > 0) await this.#call('open', [groups.map(toText), false]);
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

function fatal(message: string): FatalError {
  return new FatalError(message, { cause: new Error(message) });
}
