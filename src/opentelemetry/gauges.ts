import type { Attributes, BatchObservableCallback, BatchObservableResult, Meter } from '@opentelemetry/api';
import type { ManagedQueue, QueueBackend, QueueStatus } from '../backend.js';
import { QueueClosedError } from '../errors.js';
import { METRIC } from './conventions.js';
import type { TelemetryFailures } from './failures.js';

/**
 * Observes how many messages of a queue are ready and unfinished, until the queue is closed. Asks
 * only a queue that is connected: nothing connects because of a metric.
 */
export function observeCounts(
  meter: Meter,
  queue: QueueBackend,
  attributes: Attributes,
  failures: TelemetryFailures,
): void {
  const ready = meter.createObservableGauge(METRIC.ready.name, METRIC.ready.options);
  const unfinished = meter.createObservableGauge(METRIC.unfinished.name, METRIC.unfinished.options);
  const observables = [ready, unfinished];
  const stop = (): void => meter.removeBatchObservableCallback(observe, observables);
  const observe: BatchObservableCallback = async (result: BatchObservableResult) => {
    try {
      const status = statusOf(queue);
      if (status === 'idle' || status === 'connecting' || status === 'disconnected') return;
      const counts = await queue.stats();
      result.observe(ready, counts.ready, attributes);
      result.observe(unfinished, counts.unfinished, attributes);
      // A memory queue drains after `close()`.
      if (status === 'closed' && counts.unfinished === 0) stop();
    } catch (error) {
      if (QueueClosedError.is(error)) stop();
      else failures.report('counting the messages', error);
    }
  };
  meter.addBatchObservableCallback(observe, observables);
}

/** Returns the status of a queue. Undefined if it does not tell. */
function statusOf(queue: QueueBackend): QueueStatus | undefined {
  let status: QueueStatus | undefined;
  // The current status comes within the call.
  (queue as Partial<ManagedQueue>).status$
    ?.subscribe((current) => {
      status = current;
    })
    .unsubscribe();
  return status;
}
