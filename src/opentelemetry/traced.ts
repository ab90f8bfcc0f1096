import type { QueueBackend } from '../backend.js';
import { intercept } from '../interceptors/intercept.js';
import { checkMethods } from '../internal/options.js';
import { checkTracedOptions, type TracedOptions } from './options.js';
import { ProcessSpans } from './process-spans.js';
import { PublishSpans } from './publish-spans.js';
import { Telemetry } from './telemetry.js';

/**
 * Wraps a queue in the traces and metrics of OpenTelemetry. Returns a queue with every member and
 * the type of the given one.
 *
 * - Each publish has a span `publish <queue>`. The message carries the context of the span in its
 *   headers, on every engine.
 * - Each run of a handler by `handle` or `AsyncLoopConsumer` has a span `process <queue>`, which is
 *   active while the handler runs, with the baggage of the message.
 * - Counters, and histograms of durations in seconds, follow the semantic conventions for
 *   messaging. Gauges show how many messages are ready and unfinished. They end when the queue is
 *   closed, and never connect it.
 *
 * An error of the telemetry does not fail a message. It is reported to `diag`, once for each kind.
 *
 * *When to use*: in services that register an SDK of OpenTelemetry. Pass the traced queue to
 * everything that publishes or consumes, also as `deadLetter`.
 *
 * *Gotchas*: register a meter provider before this call, or pass it: without one, there are no
 * metrics. A context in the headers of a published message is replaced; it is the parent of the
 * span, or a link if a span is active. A loop over `deliveries()` or `consume()` has no spans: see
 * `propagation.extract`.
 *
 * @example
 * ```ts
 * const orders = traced(await loadBackend({ name: 'orders' }));
 * await orders.publish('orders.placed', { order: 1 });
 * await new AsyncLoopConsumer(orders).run(async (payload) => bill(payload));
 * ```
 * @throws {TypeError | RangeError} if the queue or an option is invalid. The message names it.
 */
export function traced<Queue extends QueueBackend>(queue: Queue, options?: TracedOptions): Queue {
  checkMethods<QueueBackend>('queue', queue, ['publish', 'consume', 'deliveries']);
  const checked = checkTracedOptions(options);
  const telemetry = new Telemetry(queue, checked);
  const publishes = new PublishSpans(queue.name, telemetry);
  const processes = new ProcessSpans(queue.name, checked.asChild, telemetry);
  const { metrics } = telemetry;
  return intercept(queue, {
    publish: (message, next) => publishes.publish(message, next),
    process: (delivery, run, { group }) => processes.process(delivery, run, group),
    ...(metrics !== undefined && {
      deliver: (delivery, { group }) => {
        metrics.delivered(group);
        return delivery;
      },
    }),
  });
}
