import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumerInfo, DiscardPolicy, StorageType, type StreamInfo } from '@nats-io/jetstream';
import { millis } from '@nats-io/transport-node';
import type { QueueDiagnosis, QueueFinding } from '../backend.js';
import { shellCommand } from '../core/unread-group.js';
import type { NatsLink } from './link.js';
import { type QueueNames, readGroup } from './names.js';
import { isForbidden, isNotFound } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';
import { isGroup } from './topology.js';
import { deletionOf, PAUSE } from './unread-groups.js';

export interface DiagnosisOptions extends Pick<CheckedNatsOptions, 'name' | 'server' | 'domain'> {
  readonly names: QueueNames;
  /** Whether this process consumes for the group of a consumer. */
  readonly isUsed: (consumer: string) => boolean;
  /** Whether the application declares the group of a consumer. */
  readonly isDeclared: (consumer: string) => boolean;
}

type Findings = readonly QueueFinding[];

/** The share of the account's storage above which it is nearly full. */
const NEARLY_FULL = 0.9;

/** How much longer than a lease a consumer must be idle to count as dead, in milliseconds. */
const MARGIN = 2000;

/** How many replicas survive the loss of one server. */
const SAFE_REPLICAS = 3;

/** The limits that discard messages, with the options that switch each off. */
const UNLIMITED = {
  max_age: ['--max-age', '0s'],
  max_msgs: ['--max-msgs=-1'],
  max_bytes: ['--max-bytes=-1'],
  max_msgs_per_subject: ['--max-msgs-per-subject=-1'],
} as const;

/** Looks for what is wrong with a queue and its server. Changes nothing. */
export async function diagnose(link: NatsLink, options: DiagnosisOptions): Promise<QueueDiagnosis> {
  const { names, server } = options;
  const { streams } = link.manager;
  const before = Date.now();
  const main = await streams.info(names.stream);
  const between = (before + Date.now()) / 2;
  const time = timeOf(main);
  const both = [main, await streams.info(names.delayedStream)];
  const findings = [
    ...both.flatMap((stream) => [...storageOf(stream), ...limitsOf(stream, options), ...replicasOf(stream, options)]),
    ...redundancyOf(main),
    ...(await usageOf(link, main)),
    ...(await leasesOf(link, options)),
    ...(await quarantineOf(link, options)),
  ];
  return {
    server: `NATS ${link.connection.info?.version ?? ''}`.trim(),
    clients: 'url' in server ? ['@nats-io/jetstream', '@nats-io/transport-node'] : [],
    ...(time > 0 && { clockDifference: Math.round(time - between) }),
    findings,
  };
}

function storageOf({ config }: StreamInfo): Findings {
  if (config.storage !== StorageType.Memory) return [];
  return [
    problem(
      'nats-memory-storage',
      `Stream ${quoted(config.name)} is in the memory of the server: its messages are lost when the server restarts. ` +
        "JetStream cannot change this. Let the consumers empty the queue, delete it, and create it with `storage: 'file'`.",
    ),
  ];
}

function limitsOf({ config }: StreamInfo, options: DiagnosisOptions): Findings {
  const isSet = (limit: keyof typeof UNLIMITED) => (config[limit] ?? 0) > 0;
  const discards = (limit: keyof typeof UNLIMITED) => limit === 'max_age' || config.discard === DiscardPolicy.Old;
  const limits = (Object.keys(UNLIMITED) as (keyof typeof UNLIMITED)[]).filter(
    (limit) => isSet(limit) && discards(limit),
  );
  if (limits.length === 0) return [];
  const flags = limits.flatMap((limit) => UNLIMITED[limit]);
  return [
    problem(
      'nats-discarding-limits',
      `Stream ${quoted(config.name)} has ${limits.join(' and ')}: the server discards messages before they are settled.`,
      streamCommand('edit', options, config.name, flags),
    ),
  ];
}

/** In a cluster, judges the replicas of a stream and their state. */
function replicasOf({ config, cluster }: StreamInfo, options: DiagnosisOptions): Findings {
  if (!cluster?.name) return [];
  const stream = `Stream ${quoted(config.name)}`;
  const findings: QueueFinding[] = [];
  if (config.num_replicas === 1)
    findings.push(
      problem(
        'nats-single-replica',
        `${stream} is on one server of the cluster ${quoted(cluster.name)} only: if that server is down, the queue stops. If its disk fails, the messages are lost.`,
        streamCommand('edit', options, config.name, ['--replicas', String(SAFE_REPLICAS)]),
      ),
    );
  if (!cluster.leader)
    findings.push(
      problem(
        'nats-no-leader',
        `${stream} has no leader: the server accepts and delivers no message of it. Most likely, more than half of its servers are down.`,
        streamCommand('info', options, config.name),
      ),
    );
  const late = (cluster.replicas ?? []).filter(({ current, offline }) => !current || offline);
  if (late.length > 0)
    findings.push(
      problem(
        'nats-replicas-behind',
        `${stream} has replicas that do not follow: ${late.map(({ name, offline, lag = 0 }) => `${name} (${offline ? 'offline' : `${lag} operations behind`})`).join(', ')}. If another server fails, the queue may stop.`,
        streamCommand('info', options, config.name),
      ),
    );
  return findings;
}

function redundancyOf({ cluster }: StreamInfo): Findings {
  if (cluster?.name) return [];
  return [
    note(
      'nats-single-server',
      'The server is not part of a cluster: while it is down, the queue stops. If its disk fails, the messages are lost.',
    ),
  ];
}

/** An account may have limits for each number of replicas. */
async function usageOf({ manager }: NatsLink, { config }: StreamInfo): Promise<Findings> {
  const account = await manager.getAccountInfo();
  const { limits, ...used } = account.tiers?.[`R${config.num_replicas}`] ?? account;
  const [kind, usage, limit] =
    config.storage === StorageType.Memory
      ? (['memory', used.memory, limits.max_memory] as const)
      : (['storage', used.storage, limits.max_storage] as const);
  if (limit <= 0 || usage < limit * NEARLY_FULL) return [];
  return [
    problem(
      'nats-storage-limit',
      `The account uses ${usage} of ${limit} bytes of JetStream ${kind}: when it is full, publishes wait and then fail. Raise the limit, or let consumers settle messages.`,
      'nats account info',
    ),
  ];
}

/** A server before 2.10 does not tell its time, so the age of a lease is unknown. */
async function leasesOf(link: NatsLink, options: DiagnosisOptions): Promise<Findings> {
  const { manager, api } = link;
  const { name, names, isUsed } = options;
  try {
    const listed = await manager.consumers.list(names.stream);
    const idle = listed.filter(
      ({ name, config, num_waiting }) => isGroup(config) && !isUsed(name) && num_waiting === 0,
    );
    const stuck = idle
      .filter(isAbandoned)
      .map((info) =>
        problem(
          'nats-stuck-leases',
          `Group ${quoted(readGroup(info.name) ?? info.name)} of queue ${quoted(name)} has ${messages(info.num_ack_pending)} in flight to consumers that have died or stopped. No consumer requests messages, so they stay until one does.`,
        ),
      );
    return [...stuck, ...(await unconsumedOf(link, options, idle))];
  } catch (error) {
    return [missingRight(error, `${api}.CONSUMER.LIST.${names.stream}`, 'Messages that are stuck in flight')];
  }
}

/**
 * Finds groups without a consumer. The server does not count consumers, so this looks twice: a live
 * one requests or receives messages meanwhile, unless it holds as many as it can.
 */
async function unconsumedOf(
  { manager }: NatsLink,
  options: DiagnosisOptions,
  idle: readonly ConsumerInfo[],
): Promise<Findings> {
  const { name, names, domain, isDeclared } = options;
  const suspects = idle.filter(({ num_ack_pending }) => num_ack_pending === 0);
  if (suspects.length > 0) await sleep(PAUSE);
  const looks = suspects.map(async (before): Promise<Findings> => {
    const { num_waiting, delivered, num_pending } = await manager.consumers.info(names.stream, before.name);
    if (num_waiting > 0 || delivered.consumer_seq !== before.delivered.consumer_seq) return [];
    const group = `Group ${quoted(readGroup(before.name) ?? before.name)} of queue ${quoted(name)} has no consumer`;
    const code = 'group-without-consumer';
    // A service would create a declared group again.
    const command = isDeclared(before.name) ? undefined : deletionOf({ domain }, names.stream, before.name);
    const advice = command === undefined ? 'Start its consumers.' : 'Start its consumers, or delete it.';
    if (num_pending === 0)
      return [
        {
          ...note(code, `${group}. It will retain every message that is published.`),
          ...(command !== undefined && { command }),
        },
      ];
    return [
      problem(
        code,
        `${group} and retains ${messages(num_pending)}, and every message that is published. ${advice}`,
        command,
      ),
    ];
  });
  return (await Promise.all(looks)).flat();
}

/** A live consumer requests messages, or renews its leases within the time of one. */
function isAbandoned(info: ConsumerInfo): boolean {
  const { num_ack_pending, num_waiting, delivered, ack_floor, config } = info;
  if (num_ack_pending === 0 || num_waiting > 0) return false;
  const active = [delivered, ack_floor]
    .map(({ last_active }) => Date.parse(String(last_active)))
    .filter(Number.isFinite);
  return timeOf(info) - Math.max(...active) > millis(config.ack_wait ?? 0) + MARGIN;
}

async function quarantineOf({ manager, api }: NatsLink, options: DiagnosisOptions): Promise<Findings> {
  const { quarantine } = options.names;
  try {
    const { state } = await manager.streams.info(quarantine);
    if (state.messages === 0) return [];
    return [
      problem(
        'nats-quarantine',
        `The quarantine of queue ${quoted(options.name)} has ${messages(state.messages)} that could not be read or dead-lettered. The header Sluice-Reason says why. They stay until they are removed.`,
        streamCommand('view', options, quarantine),
      ),
    ];
  } catch (error) {
    if (isNotFound(error)) return [];
    return [missingRight(error, `${api}.STREAM.INFO.${quarantine}`, 'Messages in quarantine')];
  }
}

/** @throws the error, unless the user lacks a right */
function missingRight(error: unknown, subject: string, what: string): QueueFinding {
  if (!isForbidden(error)) throw error;
  return note('nats-missing-right', `${what} cannot be found: the user may not publish to ${subject}.`);
}

function streamCommand(
  verb: string,
  { domain }: DiagnosisOptions,
  stream: string,
  flags: readonly string[] = [],
): string {
  const options = domain === undefined ? flags : ['--js-domain', domain, ...flags];
  const end = stream.startsWith('-') ? ['--'] : [];
  return shellCommand(['nats', 'stream', verb, ...options, ...end, stream]);
}

/** In milliseconds since the epoch. 0 if the server is older than 2.10 and does not tell. */
function timeOf({ ts = '' }: { readonly ts?: string }): number {
  return Math.max(0, Date.parse(ts) || 0);
}

function problem(code: string, message: string, command?: string): QueueFinding {
  return { code, severity: 'problem', message, ...(command !== undefined && { command }) };
}

function note(code: string, message: string): QueueFinding {
  return { code, severity: 'note', message };
}

function messages(count: number): string {
  return `${count} ${count === 1 ? 'message' : 'messages'}`;
}

function quoted(name: string): string {
  return JSON.stringify(name);
}
