import type { ConsumerGroup, QueueDiagnosis, QueueFinding } from '../backend.js';
import { shellCommand } from '../core/unread-group.js';
import { consumersOf, findGroups } from './consumers.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { isElsewhere, isReply } from './redis-errors.js';
import { readVersion } from './server.js';
import { redisCli } from './unread-groups.js';

export interface DiagnosisOptions {
  readonly queueName: string;
  readonly keys: QueueKeys;
  /** In milliseconds. */
  readonly lease: number;
  readonly clients: readonly string[];
}

/** The settings of the server, and the fields of `INFO` that tell them if CONFIG is not permitted. */
const SETTINGS = {
  appendonly: undefined,
  appendfsync: undefined,
  maxmemory: 'maxmemory',
  'maxmemory-policy': 'maxmemory_policy',
  'min-replicas-to-write': undefined,
} as const;

type Facts = ReadonlyMap<string, string>;

/** The share of `maxmemory` from which on the memory counts as nearly full. */
const NEARLY_FULL = 0.9;

const PERCENT = 100;

/** Looks for what is wrong with a queue and its server, without changing anything. */
export async function diagnose(link: RedisLink, options: DiagnosisOptions): Promise<QueueDiagnosis> {
  const { clients } = options;
  const findings: QueueFinding[] = [];
  const clockDifference = await readClockDifference(link);
  const info = await readInfo(link, findings);
  const settings = await readSettings(link, info, findings);
  findings.push(
    ...storageFindings(info, settings),
    ...memoryFindings(info, settings),
    ...replicationFindings(info, settings),
    ...(await queueFindings(link, options)),
  );
  const server = readVersion([...info].map(([name, value]) => `${name}:${value}`).join('\n'))?.title ?? 'Redis';
  return { server, clients, clockDifference, findings };
}

async function readClockDifference(link: RedisLink): Promise<number | undefined> {
  const before = Date.now();
  const time = await permitted(() => link.send(['TIME']));
  if (time instanceof Error) return undefined;
  const [seconds, microseconds] = (time as string[]).map(Number) as [number, number];
  return Math.round(seconds * 1000 + microseconds / 1000 - (before + Date.now()) / 2);
}

/** Returns the error if the server refuses the command to this user, or does not have it. */
async function permitted<Value>(send: () => Promise<Value>): Promise<Value | Error> {
  try {
    return await send();
  } catch (error) {
    if (isReply(error) && !isElsewhere(error)) return error;
    throw error;
  }
}

async function readInfo(link: RedisLink, findings: QueueFinding[]): Promise<Facts> {
  const info = await permitted(() => link.send(['INFO']));
  if (info instanceof Error) {
    const unknown = 'the version, the persistence, the memory and the replicas of the server are not checked';
    findings.push(await refused(link, { code: 'redis-info', command: 'INFO', rule: '+info', unknown }, info));
    return new Map();
  }
  const lines = [...String(info).matchAll(/^(\w+):(.*?)\r?$/gm)];
  return new Map(lines.map(([, name = '', value = '']) => [name, value]));
}

async function readSettings(link: RedisLink, info: Facts, findings: QueueFinding[]): Promise<Facts> {
  const settings = new Map<string, string>();
  const isOn = info.get('aof_enabled');
  if (isOn !== undefined) settings.set('appendonly', isOn === '1' ? 'yes' : 'no');
  for (const [name, field] of Object.entries(SETTINGS)) {
    const told = field && info.get(field);
    if (told !== undefined) settings.set(name, told);
  }
  for (const name of Object.keys(SETTINGS)) {
    // Before 7.0, the command takes one name.
    const reply = await permitted(() => link.send(['CONFIG', 'GET', name]));
    if (reply instanceof Error) {
      const unknown = 'whether the server writes each message to its disk before it confirms it is not checked';
      const refusal = { code: 'redis-config', command: 'CONFIG GET', rule: '+config|get', unknown };
      findings.push(await refused(link, refusal, reply));
      break;
    }
    const [, value] = reply as [name: string, value: string] | [];
    if (value !== undefined) settings.set(name, value);
  }
  return settings;
}

interface Refusal {
  readonly code: string;
  readonly command: string;
  /** The rule that a user needs for the command. */
  readonly rule: string;
  /** What is not known without the command. */
  readonly unknown: string;
}

async function refused(link: RedisLink, refusal: Refusal, error: Error): Promise<QueueFinding> {
  const { code, command, rule, unknown } = refusal;
  const isForbidden = /NOPERM|no permissions/.test(error.message);
  // Redis before 7.2 does not name the user, who may not be allowed to ask.
  const user =
    /User (\S+) has no permissions/.exec(error.message)?.[1] ?? (await permitted(() => link.send(['ACL', 'WHOAMI'])));
  return {
    code: `${code}-refused`,
    severity: 'note',
    message: isForbidden
      ? `The user may not send ${command}, so ${unknown}. The user needs the rule ${rule}.`
      : `The server refused ${command}, so ${unknown}: ${error.message}`,
    command: isForbidden && !(user instanceof Error) ? redisCli('ACL', 'SETUSER', String(user), rule) : undefined,
  };
}

function storageFindings(info: Facts, settings: Facts): QueueFinding[] {
  const findings: QueueFinding[] = [];
  if (settings.get('appendonly') === 'no') {
    findings.push({
      code: 'redis-appendonly',
      severity: 'problem',
      message:
        'The server has `appendonly no`: it keeps no log of its writes. If it stops, all messages since its last ' +
        'snapshot are lost, or all messages if it makes none. Put `appendonly yes` into its configuration file as well.',
      command: redisCli('CONFIG', 'SET', 'appendonly', 'yes'),
    });
  }
  const sync = settings.get('appendfsync');
  if (settings.get('appendonly') !== 'no' && sync !== undefined && sync !== 'always') {
    const lost = sync === 'everysec' ? 'up to a second of' : 'half a minute or more of';
    findings.push({
      code: 'redis-appendfsync',
      severity: 'problem',
      message:
        `The server has \`appendfsync ${sync}\`: it confirms a message before the message is on its disk. If the ` +
        `machine fails, ${lost} confirmed messages are lost. Put \`appendfsync always\` into its configuration file as well.`,
      command: redisCli('CONFIG', 'SET', 'appendfsync', 'always'),
    });
  }
  if (info.get('loading') === '1')
    findings.push({
      code: 'redis-loading',
      severity: 'problem',
      message: 'The server is loading its data: it refuses all requests until it is done.',
    });
  const failures: [code: string, field: string, what: string][] = [
    ['redis-aof-write', 'aof_last_write_status', 'could not write to its append-only file'],
    ['redis-aof-rewrite', 'aof_last_bgrewrite_status', 'could not rewrite its append-only file, which grows'],
    ['redis-snapshot', 'rdb_last_bgsave_status', 'could not save its last snapshot'],
  ];
  for (const [code, field, what] of failures) {
    if (info.get(field) !== 'err') continue;
    const message = `The server ${what}. It may refuse all messages until it can. Look at its log and the space on its disk.`;
    findings.push({ code, severity: 'problem', message, command: shellCommand(['df', '-h']) });
  }
  return findings;
}

function memoryFindings(info: Facts, settings: Facts): QueueFinding[] {
  const findings: QueueFinding[] = [];
  const policy = settings.get('maxmemory-policy');
  const most = Number(settings.get('maxmemory') ?? 0);
  if (policy !== undefined && policy !== 'noeviction') {
    const evicted = policy.startsWith('volatile')
      ? 'remembered ids, so that it stores messages twice'
      : 'the messages of the queue';
    const limit =
      most > 0
        ? `\`maxmemory\` is ${most} bytes now.`
        : '`maxmemory` is not set now: nothing is deleted until somebody sets it.';
    findings.push({
      code: 'redis-maxmemory-policy',
      severity: 'problem',
      message:
        `The server has \`maxmemory-policy ${policy}\`: if its memory is full, it deletes ${evicted}. ${limit} With ` +
        '`noeviction`, it refuses new messages instead.',
      command: redisCli('CONFIG', 'SET', 'maxmemory-policy', 'noeviction'),
    });
  }
  const used = Number(info.get('used_memory') ?? 0);
  if (most > 0 && used > most * NEARLY_FULL)
    findings.push({
      code: 'redis-memory',
      severity: 'problem',
      message:
        `The server uses ${Math.floor((used / most) * PERCENT)} % of its \`maxmemory\` of ${most} bytes. When it is full, ` +
        'the server refuses messages, or deletes keys. Consume the messages, or give it more memory.',
      command: redisCli('CONFIG', 'SET', 'maxmemory', String(most * 2)),
    });
  return findings;
}

function replicationFindings(info: Facts, settings: Facts): QueueFinding[] {
  const role = info.get('role');
  if (role === 'slave') {
    const master = info.get('master_host');
    const message =
      'The server is a replica: it refuses messages, and consumers cannot take any. ' +
      `Connect to its master, ${master}:${info.get('master_port')}.`;
    return [{ code: 'redis-replica', severity: 'problem', message }];
  }
  const replicas = Number(info.get('connected_slaves') ?? 0);
  if (replicas === 0 || settings.get('min-replicas-to-write') !== '0') return [];
  return [
    {
      code: 'redis-min-replicas',
      severity: 'note',
      message:
        `The server has ${replicas} connected ${replicas === 1 ? 'replica' : 'replicas'} and \`min-replicas-to-write 0\`. ` +
        'A server that is cut off from its replicas continues to confirm messages, and a failover loses them. With ' +
        '`min-replicas-to-write 1`, it refuses messages after `min-replicas-max-lag` seconds.',
      command: redisCli('CONFIG', 'SET', 'min-replicas-to-write', '1'),
    },
  ];
}

async function queueFindings(link: RedisLink, { queueName, keys, lease }: DiagnosisOptions): Promise<QueueFinding[]> {
  const findings: QueueFinding[] = [];
  const queue = JSON.stringify(queueName);
  for (const group of (await findGroups(link, keys)) ?? []) {
    const count = await countStuck(link, keys, lease, group);
    if (count === 0) continue;
    findings.push({
      code: 'redis-stuck-leases',
      severity: 'problem',
      message:
        `Group ${JSON.stringify(group)} of queue ${queue} has ${messages(count)} in flight whose consumers stopped longer than ` +
        'their lease ago. No other consumer has taken them. Start a consumer of the group: it takes them.',
    });
  }
  const count = await permitted(() => link.send(['HLEN', keys.quarantine]));
  if (count instanceof Error)
    findings.push(
      await refused(
        link,
        {
          code: 'redis-quarantine',
          command: 'HLEN',
          rule: '+hlen',
          unknown: 'the number of messages in quarantine is not known',
        },
        count,
      ),
    );
  else if (Number(count) > 0)
    findings.push({
      code: 'redis-quarantine',
      severity: 'problem',
      message:
        `Queue ${queue} has ${messages(Number(count))} in quarantine: they are invalid, or consumers have given them up. They stay ` +
        'there until somebody deletes them.',
      command: redisCli('HGETALL', keys.quarantine),
    });
  return findings;
}

function messages(count: number): string {
  return `${count} ${count === 1 ? 'message' : 'messages'}`;
}

/** Counts messages in flight whose lease ended more than one lease ago. */
async function countStuck(link: RedisLink, keys: QueueKeys, lease: number, group: ConsumerGroup): Promise<number> {
  const consumers = await permitted(() => consumersOf(link, keys, group, lease));
  // The group was deleted meanwhile.
  if (consumers instanceof Error) return 0;
  const stuck = consumers.filter(({ left, lease: own }) => left < -own);
  return stuck.reduce((sum, { pending }) => sum + pending, 0);
}
