import type { Attributes, Counter, Histogram, Meter } from '@opentelemetry/api';
import type { ConsumerGroup } from '../backend.js';
import { ATTRIBUTE, METRIC, OPERATION } from './conventions.js';
import { withErrorType } from './errors.js';
import type { TelemetryFailures } from './failures.js';

interface GroupAttributes {
  readonly consumed: Attributes;
  readonly processed: Attributes;
}

/** Counts the messages of a queue, and records durations. Never throws. */
export class MessageMetrics {
  readonly #sent: Counter;
  readonly #consumed: Counter;
  readonly #operationDuration: Histogram;
  readonly #processDuration: Histogram;
  readonly #queue: Attributes;
  readonly #sentAttributes: Attributes;
  readonly #publishAttributes: Attributes;
  readonly #groups = new Map<ConsumerGroup, GroupAttributes>();
  readonly #failures: TelemetryFailures;

  /** @param queue the attributes of the queue */
  constructor(meter: Meter, queue: Attributes, failures: TelemetryFailures) {
    const { sentMessages, consumedMessages, operationDuration, processDuration } = METRIC;
    this.#sent = meter.createCounter(sentMessages.name, sentMessages.options);
    this.#consumed = meter.createCounter(consumedMessages.name, consumedMessages.options);
    this.#operationDuration = meter.createHistogram(operationDuration.name, operationDuration.options);
    this.#processDuration = meter.createHistogram(processDuration.name, processDuration.options);
    const { name, type } = OPERATION.publish;
    this.#queue = queue;
    this.#sentAttributes = Object.freeze({ ...queue, [ATTRIBUTE.operationName]: name });
    this.#publishAttributes = Object.freeze({ ...this.#sentAttributes, [ATTRIBUTE.operationType]: type });
    this.#failures = failures;
  }

  /**
   * Records a publish that has ended.
   * @param duration in milliseconds
   * @param errorType undefined: it has succeeded
   */
  published(duration: number, errorType: string | undefined): void {
    const [sent, publish] = [this.#sentAttributes, this.#publishAttributes];
    try {
      this.#sent.add(1, errorType === undefined ? sent : withErrorType(sent, errorType));
      this.#operationDuration.record(
        duration / 1000,
        errorType === undefined ? publish : withErrorType(publish, errorType),
      );
    } catch (error) {
      this.#failures.report('recording a metric', error);
    }
  }

  /** Counts a delivery. */
  delivered(group: ConsumerGroup): void {
    try {
      this.#consumed.add(1, this.#attributesOf(group).consumed);
    } catch (error) {
      this.#failures.report('recording a metric', error);
    }
  }

  /**
   * Records a run of a handler.
   * @param duration in milliseconds
   * @param errorType undefined: it has succeeded
   */
  processed(group: ConsumerGroup, duration: number, errorType: string | undefined): void {
    const { processed } = this.#attributesOf(group);
    try {
      this.#processDuration.record(
        duration / 1000,
        errorType === undefined ? processed : withErrorType(processed, errorType),
      );
    } catch (error) {
      this.#failures.report('recording a metric', error);
    }
  }

  #attributesOf(group: ConsumerGroup): GroupAttributes {
    const existing = this.#groups.get(group);
    if (existing !== undefined) return existing;
    const of = (operation: string): Attributes =>
      Object.freeze({ ...this.#queue, [ATTRIBUTE.operationName]: operation, [ATTRIBUTE.group]: group });
    const attributes = { consumed: of(OPERATION.deliver.name), processed: of(OPERATION.process.name) };
    this.#groups.set(group, attributes);
    return attributes;
  }
}
