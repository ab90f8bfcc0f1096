import {
  type MeterProvider,
  metrics,
  propagation,
  type TextMapPropagator,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import { checkChoice, checkMethods, checkOptions } from '../internal/options.js';

export interface TracedOptions {
  /** Creates the spans. Default: the global one, also if it is registered later. */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Creates the metrics. Default: the global one when `traced` is called. */
  readonly meterProvider?: MeterProvider | undefined;
  /**
   * Writes the context of a publish into the headers of the message, and reads it. Default: the
   * global one, also if it is registered later.
   */
  readonly propagator?: TextMapPropagator | undefined;
  /**
   * How the span of a handler refers to the span of the publish. `'link'`: it starts a trace of its
   * own, with a link. `'parent'`: it is a child, in the same trace. Default: `'link'`.
   */
  readonly process?: 'link' | 'parent' | undefined;
}

export interface CheckedTracedOptions {
  readonly tracerProvider: TracerProvider;
  readonly meterProvider: MeterProvider;
  readonly propagator: TextMapPropagator;
  readonly asChild: boolean;
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkTracedOptions(options: TracedOptions | undefined): CheckedTracedOptions {
  const { tracerProvider, meterProvider, propagator, process = 'link' } = checkOptions(options);
  return {
    tracerProvider:
      tracerProvider === undefined ? trace : checkMethods('tracerProvider', tracerProvider, ['getTracer']),
    meterProvider: meterProvider === undefined ? metrics : checkMethods('meterProvider', meterProvider, ['getMeter']),
    propagator:
      propagator === undefined ? propagation : checkMethods('propagator', propagator, ['inject', 'extract', 'fields']),
    asChild: checkChoice('process', process, ['link', 'parent']) === 'parent',
  };
}
