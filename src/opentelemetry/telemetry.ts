import {
  type Attributes,
  createNoopMeter,
  type Meter,
  type Span,
  type SpanOptions,
  type TextMapPropagator,
  type Tracer,
} from '@opentelemetry/api';
import type { QueueBackend } from '../backend.js';
import { systemOf } from '../internal/system.js';
import { ATTRIBUTE } from './conventions.js';
import { recordError } from './errors.js';
import { TelemetryFailures } from './failures.js';
import { observeCounts } from './gauges.js';
import { MessageMetrics } from './message-metrics.js';
import type { CheckedTracedOptions } from './options.js';

const SCOPE = 'sluice';

/** What the spans and the metrics of a queue have in common. Its methods never throw. */
export class Telemetry {
  readonly failures: TelemetryFailures;
  readonly propagator: TextMapPropagator;
  /** The attributes of the queue. */
  readonly attributes: Attributes;
  /** Undefined if nobody collects metrics. */
  readonly metrics: MessageMetrics | undefined;
  readonly #tracer: Tracer | undefined;

  constructor(queue: QueueBackend, { tracerProvider, meterProvider, propagator }: CheckedTracedOptions) {
    this.failures = new TelemetryFailures(queue.name);
    this.propagator = propagator;
    this.attributes = Object.freeze({
      [ATTRIBUTE.system]: systemOf(queue),
      [ATTRIBUTE.destination]: queue.name,
    });
    this.#tracer = this.attempt('creating the tracer', () => tracerProvider.getTracer(SCOPE));
    this.metrics = this.attempt('creating the metrics', () =>
      this.#createMetrics(queue, meterProvider.getMeter(SCOPE)),
    );
  }

  /** Starts a span. Undefined if that fails. */
  start(name: string, options: SpanOptions, parent: Parameters<Tracer['startSpan']>[2]): Span | undefined {
    try {
      return this.#tracer?.startSpan(name, options, parent);
    } catch (error) {
      this.failures.report('starting a span', error);
      return undefined;
    }
  }

  /**
   * Ends a span.
   * @param failure undefined: the operation has succeeded
   */
  end(span: Span, failure?: { readonly error: unknown; readonly type: string }): void {
    try {
      if (failure !== undefined && span.isRecording()) recordError(span, failure.error, failure.type);
    } catch (error) {
      this.failures.report('recording an error', error);
    }
    try {
      span.end();
    } catch (error) {
      this.failures.report('ending a span', error);
    }
  }

  /** Calls a part of the telemetry. Returns undefined if it throws. */
  attempt<Result>(what: string, call: () => Result): Result | undefined {
    try {
      return call();
    } catch (error) {
      this.failures.report(what, error);
      return undefined;
    }
  }

  #createMetrics(queue: QueueBackend, meter: Meter): MessageMetrics | undefined {
    if (meter === createNoopMeter()) return undefined;
    this.attempt('creating the gauges', () => observeCounts(meter, queue, this.attributes, this.failures));
    return new MessageMetrics(meter, this.attributes, this.failures);
  }
}

/** Returns what a span of each operation starts with. Shared by all spans: frozen. */
export function spanOptions(kind: SpanOptions['kind'] & number, ...attributes: readonly Attributes[]): SpanOptions {
  return Object.freeze({ kind, attributes: Object.freeze(Object.assign({}, ...attributes) as Attributes) });
}
