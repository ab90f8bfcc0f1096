// The names of the semantic conventions of OpenTelemetry for messaging, version 1.45.0, checked on
// 2026-11-30. Their status is "development": a later version may rename them.
// https://opentelemetry.io/docs/specs/semconv/messaging/

export const ATTRIBUTE = {
  system: 'messaging.system',
  destination: 'messaging.destination.name',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  messageId: 'messaging.message.id',
  group: 'messaging.consumer.group.name',
  errorType: 'error.type',
  /** Our own: the conventions have no name for these. */
  key: 'sluice.key',
  attempt: 'sluice.attempt',
  outcome: 'sluice.outcome',
} as const;

/** The value of `error.type` for an error without a name that could be used. */
export const OTHER_ERROR = '_OTHER';

/** The names of operations, which are ours, and their types. */
export const OPERATION = {
  publish: { name: 'publish', type: 'send' },
  deliver: { name: 'deliver', type: 'receive' },
  process: { name: 'process', type: 'process' },
} as const;

/** In seconds. */
const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

export const METRIC = {
  sentMessages: {
    name: 'messaging.client.sent.messages',
    options: { unit: '{message}', description: 'Number of messages producer attempted to send to the broker.' },
  },
  consumedMessages: {
    name: 'messaging.client.consumed.messages',
    options: { unit: '{message}', description: 'Number of messages that were delivered to the application.' },
  },
  operationDuration: {
    name: 'messaging.client.operation.duration',
    options: {
      unit: 's',
      description: 'Duration of messaging operation initiated by a producer or consumer client.',
      advice: { explicitBucketBoundaries: DURATION_BUCKETS },
    },
  },
  processDuration: {
    name: 'messaging.process.duration',
    options: {
      unit: 's',
      description: 'Duration of processing operation.',
      advice: { explicitBucketBoundaries: DURATION_BUCKETS },
    },
  },
  /** Our own: the conventions have no gauges of a queue. */
  ready: {
    name: 'sluice.queue.ready',
    options: { unit: '{message}', description: 'Number of messages that a consumer can receive now.' },
  },
  unfinished: {
    name: 'sluice.queue.unfinished',
    options: {
      unit: '{message}',
      description: 'Number of messages that are not settled: waiting, delayed or in flight.',
    },
  },
} as const;
