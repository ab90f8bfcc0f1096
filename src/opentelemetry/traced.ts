import type { QueueBackend } from '../backend.js';
import { intercept } from '../interceptors/intercept.js';
import { checkMethods } from '../internal/options.js';
import { checkTracedOptions, type TracedOptions } from './options.js';
import { ProcessSpans } from './process-spans.js';
import { PublishSpans } from './publish-spans.js';
import { Telemetry } from './telemetry.js';

/** Traces a queue. */
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
