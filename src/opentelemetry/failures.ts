import { diag } from '@opentelemetry/api';

/**
 * Reports errors of the telemetry, each kind once. They must not fail or delay a message.
 */
export class TelemetryFailures {
  readonly #queue: string;
  readonly #reported = new Set<string>();

  constructor(queue: string) {
    this.#queue = queue;
  }

  /** @param what the part that failed, such as `ending a span` */
  report(what: string, error: unknown): void {
    if (this.#reported.has(what)) return;
    this.#reported.add(what);
    try {
      diag.error(`sluice: ${what} failed for queue ${JSON.stringify(this.#queue)}; logged once`, error);
    } catch {
      // The logger of `diag` is the last place to report to.
    }
  }
}
