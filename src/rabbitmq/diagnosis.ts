import type { ConsumerGroup, QueueDiagnosis, QueueFinding } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { shellCommand } from '../core/unread-group.js';
import type { QueueOptions } from './client.js';
import type { QueueContext } from './context.js';
import type { QueueRequests } from './queue-requests.js';
import { codeOf } from './rabbitmq-errors.js';
import { keepingQueue, settingsOf } from './topology.js';

/** What the connections know about the server. */
export interface Facts {
  /** Such as `4.0.5`. Undefined for the client of a caller. */
  readonly version: string | undefined;
  /** Whether the queue opens its connections itself. */
  readonly isOwn: boolean;
  /** Why the server accepts no messages. Undefined: it accepts them, as far as it has said. */
  readonly blocked: string | undefined;
}

type Context = Pick<QueueContext, 'queueName' | 'names' | 'groups' | 'vhost'>;

/** The first version that its makers still maintain. */
const SUPPORTED = 4;

/** How many messages in quarantine the command shows. */
const SHOWN = 10;

/** Looks for what is wrong with a queue and its server. Changes nothing. */
export async function diagnose(requests: QueueRequests, context: Context, facts: Facts): Promise<QueueDiagnosis> {
  const { version, isOwn } = facts;
  return {
    server: version === undefined ? 'RabbitMQ' : `RabbitMQ ${version}`,
    clients: isOwn ? ['rabbitmq-client'] : [],
    findings: [
      ...alarmOf(facts),
      ...(await quarantineOf(requests, context)),
      ...(await settingsFound(requests, context)),
      ...versionOf(facts),
    ],
  };
}

/** The server tells only connections that have published. */
function alarmOf({ blocked }: Facts): QueueFinding[] {
  if (blocked === undefined) return [];
  const message = `RabbitMQ accepts no messages: ${blocked}. Publishes wait, and then fail. Free memory or disk space, or let consumers settle messages.`;
  return [{ code: 'rabbitmq-alarm', severity: 'problem', message, command: 'rabbitmq-diagnostics alarms' }];
}

async function quarantineOf(requests: QueueRequests, { queueName, names, vhost }: Context): Promise<QueueFinding[]> {
  const { quarantine } = names;
  const count = await requests.countWaiting(quarantine);
  if (count === 0) return [];
  const where = vhost === undefined ? [] : ['--vhost', vhost];
  const message =
    `The quarantine of queue ${quoted(queueName)} has ${count} ${count === 1 ? 'message' : 'messages'} that could not be read or dead-lettered, ` +
    'or that a policy removed. The header sluice-reason or x-first-death-reason says why. They stay until they are removed. ' +
    'The command needs the management plugin.';
  const command = shellCommand(['rabbitmqadmin', ...where, 'get', `queue=${quarantine}`, `count=${SHOWN}`]);
  return [{ code: 'rabbitmq-quarantine', severity: 'problem', message, command }];
}

/**
 * Compares the settings of the queues. Declares only queues that exist: the server then compares
 * the settings, and changes nothing.
 */
async function settingsFound(requests: QueueRequests, context: Context): Promise<QueueFinding[]> {
  const findings: QueueFinding[] = [];
  for (const wanted of queuesOf(context)) {
    const found = await requests.look(wanted.queue);
    if (found === undefined) continue;
    try {
      const isOlder = await requests.declareQueue(wanted, keepingQueue(wanted.queue));
      if (isOlder) findings.push(olderQueue(wanted.queue, found.messageCount, context));
    } catch (error) {
      if (codeOf(error) === 'PRECONDITION_FAILED')
        findings.push(otherQueue(wanted.queue, found.messageCount, error, context));
      else if (codeOf(error) === 'ACCESS_REFUSED') return [...findings, missingRight(wanted.queue)];
      else throw error;
    }
  }
  return findings;
}

function queuesOf({ names, groups }: Context): QueueOptions[] {
  const { queue: quarantine, settings } = settingsOf(names);
  const ofGroup = (group: ConsumerGroup) => {
    const { queue, again } = names.group(group);
    return [queue, again].map((each) => keepingQueue(each, settings));
  };
  return [quarantine, ...[...new Set([...groups, DEFAULT_GROUP])].flatMap(ofGroup)];
}

function olderQueue(queue: string, count: number, context: Context): QueueFinding {
  const message =
    `An older version of Sluice has declared the queue ${quoted(queue)}: a policy with "max-length", "message-ttl" or "delivery-limit" can drop its messages. ` +
    'Stop its publishers, let its consumers empty it, and delete it. Sluice declares it again.';
  return { code: 'rabbitmq-older-queue', severity: 'problem', message, ...deletionOf(queue, count, context) };
}

function otherQueue(queue: string, count: number, error: unknown, context: Context): QueueFinding {
  const reason = error instanceof Error ? error.message : String(error);
  const message =
    `The queue ${quoted(queue)} has other settings than Sluice declares, and can lose messages: ${reason}. ` +
    'Let consumers empty it, and delete it. Sluice declares it again.';
  return { code: 'rabbitmq-other-queue', severity: 'problem', message, ...deletionOf(queue, count, context) };
}

/** The command to delete a queue. Only for an empty one: it would delete the messages, too. */
function deletionOf(queue: string, count: number, { vhost }: Context): Pick<QueueFinding, 'command'> {
  if (count > 0) return {};
  const where = vhost === undefined ? [] : ['--vhost', vhost];
  return { command: shellCommand(['rabbitmqctl', 'delete_queue', ...where, '--', queue]) };
}

function missingRight(queue: string): QueueFinding {
  const message = `The settings of the queues cannot be compared: the user lacks the permission to configure ${quoted(queue)}.`;
  return { code: 'rabbitmq-missing-right', severity: 'note', message };
}

function versionOf({ version }: Facts): QueueFinding[] {
  if (version === undefined || Number.parseInt(version, 10) >= SUPPORTED) return [];
  const message = `RabbitMQ ${version} gets no more fixes from its makers. Upgrade to version ${SUPPORTED} or newer.`;
  return [{ code: 'rabbitmq-old-server', severity: 'note', message }];
}

function quoted(name: string): string {
  return JSON.stringify(name);
}
