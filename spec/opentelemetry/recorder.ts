import {
  context,
  propagation,
  type Span,
  SpanKind,
  type TextMapPropagator,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import type { Outcome, QueueBackend } from 'sluice';
import { handle } from 'sluice';
import type { TracedOptions } from 'sluice/opentelemetry';
import { eventually } from '../support/eventually.js';

/** The propagators of the W3C: trace context and baggage. */
export const w3c: TextMapPropagator = new CompositePropagator({
  propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()],
});

/** A span of a trace, as tests compare it. */
export interface Seen {
  readonly name: string;
  readonly kind: string;
  /** The name of its parent. Undefined if it is a root. */
  readonly parent: string | undefined;
  /** The names of the spans that it links to. */
  readonly links: readonly string[];
}

/** Records what the SDK exports, and makes its context manager the global one in each test. */
export class Recorder {
  readonly spans = new InMemorySpanExporter();
  readonly tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(this.spans)] });
  readonly #metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  readonly #reader = new PeriodicExportingMetricReader({ exporter: this.#metrics, exportIntervalMillis: 2 ** 30 });
  readonly meters = new MeterProvider({ readers: [this.#reader] });
  readonly options: TracedOptions = { tracerProvider: this.tracers, propagator: w3c };

  /** Must be called where the suite is described. */
  constructor() {
    beforeAll(() => {
      context.setGlobalContextManager(new AsyncLocalStorageContextManager());
      propagation.setGlobalPropagator(w3c);
    });
    beforeEach(() => {
      this.spans.reset();
      this.#metrics.reset();
    });
    afterAll(async () => {
      await this.meters.shutdown();
      context.disable();
      propagation.disable();
    });
  }

  get tracer(): Tracer {
    return this.tracers.getTracer('test');
  }

  /** Returns the ended spans in the order of their start. */
  get ended(): ReadableSpan[] {
    return this.spans.getFinishedSpans().toSorted((a, b) => nanoseconds(a) - nanoseconds(b));
  }

  /** Returns the ended spans with their relations, in the order of their end. */
  get seen(): Seen[] {
    const all = this.spans.getFinishedSpans();
    const nameOf = (spanId: string) =>
      all.find((span) => span.spanContext().spanId === spanId)?.name ?? `other ${spanId}`;
    return all.map(({ name, kind, parentSpanContext, links }) => ({
      name,
      kind: String(SpanKind[kind]),
      parent: parentSpanContext && nameOf(parentSpanContext.spanId),
      links: links.map((link) => nameOf(link.context.spanId)),
    }));
  }

  /** Returns the only ended span of a name. */
  span(name: string): ReadableSpan {
    const found = this.spans.getFinishedSpans().filter((span) => span.name === name);
    expect(found.map((span) => span.name)).toEqual([name]);
    return found[0] as ReadableSpan;
  }

  /** Returns the ended spans of a name. */
  all(name: string): ReadableSpan[] {
    return this.spans.getFinishedSpans().filter((span) => span.name === name);
  }

  /** Waits until some spans have ended. */
  async count(count: number): Promise<void> {
    await eventually(
      () => this.spans.getFinishedSpans().length >= count,
      () => this.seen,
    );
  }

  /** Runs a function inside a span. */
  async inSpan<Result>(name: string, run: (span: Span) => Promise<Result>): Promise<Result> {
    const span = this.tracer.startSpan(name);
    try {
      return await context.with(trace.setSpan(context.active(), span), () => run(span));
    } finally {
      span.end();
    }
  }

  /** Collects the metrics. Returns them by name. */
  async metrics(): Promise<Map<string, MetricData>> {
    this.#metrics.reset();
    await this.#reader.forceFlush();
    const [collected] = this.#metrics.getMetrics();
    const all = collected?.scopeMetrics.filter(({ scope }) => scope.name === 'sluice') ?? [];
    return new Map(all.flatMap(({ metrics }) => metrics.map((metric) => [metric.descriptor.name, metric])));
  }
}

function nanoseconds({ startTime: [seconds, rest] }: ReadableSpan): number {
  return seconds * 1e9 + rest;
}

/** Handles the next messages of a queue. Resolves to the outcomes. */
export async function handleNext(
  queue: QueueBackend,
  count: number,
  handler: Parameters<typeof handle>[0],
  options: Parameters<typeof handle>[1] = {},
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const running = queue
    .deliveries()
    .pipe(handle(handler, { retry: { count: 0 }, ...options, onOutcome: (outcome) => void outcomes.push(outcome) }))
    .subscribe();
  await eventually(() => outcomes.length >= count);
  // The telemetry gets an outcome some microtasks after it.
  await new Promise(setImmediate);
  running.unsubscribe();
  return outcomes;
}
