/**
 * What the live picture shows: plain data, so that a worker can send it to the page.
 *
 * A message is one dot in each group that gets it. A dot keeps its id from one snapshot to the next,
 * so the picture can move it.
 */
export interface Snapshot {
  /** The virtual time since the start of the program, in milliseconds. */
  readonly now: number;
  readonly queues: readonly QueueView[];
}

export interface QueueView {
  readonly name: string;
  readonly capacity: number | undefined;
  readonly closed: boolean;
  /** Waiting messages, delayed ones included; delivered and unsettled ones; their sum. */
  readonly size: number;
  readonly inFlight: number;
  readonly unfinished: number;
  /** How many messages some group can receive now. */
  readonly ready: number;
  /** How many messages were published. */
  readonly published: number;
  /** Publishes that wait for room: the first of them, and how many there are. */
  readonly publishing: readonly Dot[];
  readonly publishingCount: number;
  readonly groups: readonly GroupView[];
}

export interface GroupView {
  readonly name: string;
  /** How many messages a consumer can receive now. `waiting` shows the first of them. */
  readonly ready: number;
  readonly waiting: readonly Dot[];
  readonly delayed: readonly Dot[];
  /** How many messages are not due yet. `delayed` shows the first of them. */
  readonly delayedCount: number;
  /** Whether any message was delayed so far. */
  readonly hasDelays: boolean;
  readonly consumers: readonly ConsumerView[];
  /** How many consumers are left out of `consumers`, because there are many. */
  readonly otherConsumers: number;
  /** Deliveries so far, by how they were settled. A dead letter counts as such only. */
  readonly acked: number;
  readonly retried: number;
  readonly released: number;
  readonly rejected: number;
  readonly deadLettered: number;
  /** The messages that this group has finished last, so that the picture knows where they went. */
  readonly finished: readonly FinishedDot[];
}

export interface ConsumerView {
  readonly id: number;
  /** Such as `consumer 1`. */
  readonly label: string;
  /** The number of slots: each delivery in flight holds one credit. */
  readonly prefetch: number;
  /** The first deliveries in flight, and how many there are. */
  readonly deliveries: readonly Dot[];
  readonly inFlight: number;
  /** False when it has left. */
  readonly active: boolean;
}

export interface Dot {
  /** Unique among the messages of all queues: the id of the message, with queue and group. */
  readonly id: string;
  readonly key: string;
  /** A short text for the dot, such as the number in its payload. */
  readonly text: string;
  /** The number of its current or next delivery, from 1 up. */
  readonly attempt: number;
  /** The dot that it was before: its publish, or the delivery that became a dead letter. */
  readonly origin?: string | undefined;
  /** Whether it was given up, and this queue is where it went. */
  readonly deadLetter?: boolean | undefined;
  /** When it becomes due, in virtual milliseconds since the start. Undefined unless it is delayed. */
  readonly due?: number | undefined;
  /** Whether a handler runs for it. */
  readonly handling?: boolean | undefined;
}

export interface FinishedDot {
  readonly id: string;
  readonly how: 'acked' | 'rejected' | 'dead-lettered';
}
