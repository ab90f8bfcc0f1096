import {
  type Attributes,
  type Context,
  context,
  defaultTextMapGetter,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type SpanOptions,
  trace,
} from '@opentelemetry/api';
import type { ConsumerGroup, Delivery } from '../backend.js';
import type { Outcome } from '../internal/outcome.js';
import { ATTRIBUTE, OPERATION } from './conventions.js';
import { errorTypeOf } from './errors.js';
import { checkContext, LayeredContext, layered } from './layered-context.js';
import { spanOptions, type Telemetry } from './telemetry.js';

interface StartedProcess {
  /** The span to end. Undefined: nothing records it. */
  readonly span: Span | undefined;
  /** Active while the handler runs. */
  readonly context: Context;
}

/** Traces the runs of the handlers of a queue. */
export class ProcessSpans {
  readonly #telemetry: Telemetry;
  readonly #asChild: boolean;
  readonly #name: string;
  readonly #options = new Map<ConsumerGroup, SpanOptions>();
  /** The last context in which a handler was started, and what the handler keeps of it. */
  #starter: Context = ROOT_CONTEXT;
  #kept: Context = new LayeredContext();

  /** @param asChild whether a span is a child of the span of the publish, or has a link to it */
  constructor(queue: string, asChild: boolean, telemetry: Telemetry) {
    this.#telemetry = telemetry;
    this.#asChild = asChild;
    this.#name = `${OPERATION.process.name} ${queue}`;
  }

  process(delivery: Delivery, run: () => Promise<Outcome>, group: ConsumerGroup): Promise<Outcome> {
    const started = this.#start(delivery, group);
    const outcome = started === undefined ? run() : context.with(started.context, run);
    // Nothing to report: then a message needs no promise more.
    if (started?.span !== undefined || this.#telemetry.metrics !== undefined)
      void outcome.then((ended) => this.#end(ended, started?.span, group));
    return outcome;
  }

  #start(delivery: Delivery, group: ConsumerGroup): StartedProcess | undefined {
    const parent = this.#extract(delivery);
    const options = this.#optionsFor(parent, group);
    const span = this.#telemetry.start(this.#name, options, parent);
    if (span === undefined) return undefined;
    const isRecording = this.#describe(span, delivery);
    return { span: isRecording ? span : undefined, context: trace.setSpan(parent, span) };
  }

  /** Returns the context of a message: that of its consumer, with the span and the baggage of its publisher. */
  #extract({ headers }: Delivery): Context {
    const active = context.active();
    if (active !== this.#starter) {
      this.#starter = active;
      this.#kept = layered(trace.deleteSpan(propagation.deleteBaggage(active)));
    }
    try {
      return checkContext(this.#telemetry.propagator.extract(this.#kept, headers, defaultTextMapGetter));
    } catch (error) {
      this.#telemetry.failures.report('reading the context of a message', error);
      return this.#kept;
    }
  }

  #optionsFor(parent: Context, group: ConsumerGroup): SpanOptions {
    const options = this.#optionsOf(group);
    if (this.#asChild) return options;
    const publisher = trace.getSpanContext(parent);
    if (publisher === undefined) return options;
    const links = isSpanContextValid(publisher) ? [{ context: publisher }] : [];
    // No spread: it costs more than the span.
    return { kind: SpanKind.CONSUMER, attributes: options.attributes as Attributes, links, root: true };
  }

  #optionsOf(group: ConsumerGroup): SpanOptions {
    const existing = this.#options.get(group);
    if (existing !== undefined) return existing;
    const { name, type } = OPERATION.process;
    const options = spanOptions(SpanKind.CONSUMER, this.#telemetry.attributes, {
      [ATTRIBUTE.operationName]: name,
      [ATTRIBUTE.operationType]: type,
      [ATTRIBUTE.group]: group,
    });
    this.#options.set(group, options);
    return options;
  }

  /** Returns whether the span records anything. */
  #describe(span: Span, { key, id, attempt }: Delivery): boolean {
    try {
      if (!span.isRecording()) return false;
      span.setAttribute(ATTRIBUTE.messageId, id);
      span.setAttribute(ATTRIBUTE.key, key);
      span.setAttribute(ATTRIBUTE.attempt, attempt);
    } catch (error) {
      this.#telemetry.failures.report('describing a span', error);
    }
    return true;
  }

  #end(outcome: Outcome, span: Span | undefined, group: ConsumerGroup): void {
    const failure = 'error' in outcome ? { error: outcome.error, type: errorTypeOf(outcome.error) } : undefined;
    this.#telemetry.metrics?.processed(group, outcome.duration, failure?.type);
    if (span === undefined) return;
    try {
      span.setAttribute(ATTRIBUTE.outcome, outcome.status);
    } catch (error) {
      this.#telemetry.failures.report('describing a span', error);
    }
    this.#telemetry.end(span, failure);
  }
}
