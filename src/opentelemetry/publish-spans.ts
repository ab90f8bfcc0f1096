import {
  type Context,
  context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  isSpanContextValid,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  trace,
} from '@opentelemetry/api';
import type { MessageHeaders } from '../backend.js';
import type { PublishedMessage } from '../interceptors/interceptor.js';
import { DONE } from '../internal/answers.js';
import { describe } from '../internal/describe.js';
import { isPlainObject } from '../internal/message.js';
import { isName } from '../internal/options.js';
import { dropInvalid, hasMembers, keepOthers } from './carrier.js';
import { ATTRIBUTE, OPERATION } from './conventions.js';
import { errorTypeOf } from './errors.js';
import { checkContext, layered } from './layered-context.js';
import { spanOptions, type Telemetry } from './telemetry.js';

const WRITING = 'writing the context of a message';

interface StartedPublish {
  readonly span: Span;
  /** Active while the queue stores the message. */
  readonly context: Context;
  /** The message with the context in its headers. */
  readonly message: PublishedMessage;
}

/** Where the span of a publish belongs. */
interface Parent {
  readonly context: Context;
  readonly options: SpanOptions;
}

/** Traces the publishes of a queue. */
export class PublishSpans {
  readonly #telemetry: Telemetry;
  readonly #name: string;
  readonly #options: SpanOptions;

  constructor(queue: string, telemetry: Telemetry) {
    const { name, type } = OPERATION.publish;
    this.#telemetry = telemetry;
    this.#name = `${name} ${queue}`;
    this.#options = spanOptions(SpanKind.PRODUCER, telemetry.attributes, {
      [ATTRIBUTE.operationName]: name,
      [ATTRIBUTE.operationType]: type,
    });
  }

  publish(message: PublishedMessage, next: (message: PublishedMessage) => Promise<void>): Promise<void> {
    const startedAt = this.#telemetry.metrics === undefined ? 0 : performance.now();
    const started = this.#start(message);
    const stored =
      started === undefined ? next(message) : context.with(started.context, next, undefined, started.message);
    if (stored === DONE) this.#succeeded(started?.span, startedAt);
    else this.#awaitEnd(stored, started?.span, startedAt);
    // The promise of the queue: `DONE` keeps its meaning.
    return stored;
  }

  #start(message: PublishedMessage): StartedPublish | undefined {
    const { headers } = message.options;
    const active = layered(context.active());
    const parent = headers === undefined ? undefined : this.#parentOf(headers, active);
    const outer = parent?.context ?? active;
    const span = this.#telemetry.start(this.#name, parent?.options ?? this.#options, outer);
    if (span === undefined) return undefined;
    this.#describe(span, message);
    const inner = trace.setSpan(outer, span);
    return { span, context: inner, message: this.#inject(inner, message) };
  }

  /**
   * Returns the parent of a message that has headers. Undefined: the active context.
   *
   * A dead letter, or a message that is moved to another queue, carries the context of its first
   * publish, which is the parent unless a span is active. Its baggage stays with it. For a dead
   * letter, the active span is that in which its consumer was started, which has nothing to do with
   * it.
   */
  #parentOf(headers: MessageHeaders, active: Context): Parent | undefined {
    // The queue refuses anything else.
    if (!isPlainObject(headers)) return undefined;
    const { failures, propagator } = this.#telemetry;
    try {
      if (!propagator.fields().some((field) => Object.hasOwn(headers, field))) return undefined;
      const extracted = checkContext(propagator.extract(active, headers, defaultTextMapGetter));
      const span = trace.getSpan(active);
      const current = validContext(span?.spanContext());
      if (span === undefined || current === undefined || isDeadLetter(headers))
        return { context: extracted, options: this.#options };
      const carried = validContext(trace.getSpanContext(extracted));
      const isOther =
        carried !== undefined && (carried.spanId !== current.spanId || carried.traceId !== current.traceId);
      const options = isOther ? { ...this.#options, links: [{ context: carried }] } : this.#options;
      return { context: trace.setSpan(extracted, span), options };
    } catch (error) {
      failures.report('reading the context of a message', error);
      return undefined;
    }
  }

  #describe(span: Span, { key, options: { id } }: PublishedMessage): void {
    try {
      if (!span.isRecording()) return;
      // The message is not validated yet.
      if (isName(key)) span.setAttribute(ATTRIBUTE.key, key);
      if (isName(id)) span.setAttribute(ATTRIBUTE.messageId, id);
    } catch (error) {
      this.#telemetry.failures.report('describing a span', error);
    }
  }

  /** Writes a context into the headers of a message, and replaces the one that they carry. */
  #inject(inner: Context, message: PublishedMessage): PublishedMessage {
    const { key, payload, options } = message;
    if (options.headers !== undefined && !isPlainObject(options.headers)) return message;
    const { failures, propagator } = this.#telemetry;
    try {
      const headers: Record<string, string> = {};
      propagator.inject(inner, headers, defaultTextMapSetter);
      const invalid = dropInvalid(headers);
      if (invalid !== undefined)
        failures.report(WRITING, new TypeError(`The propagator wrote an invalid header ${describe(invalid)}`));
      if (!hasMembers(headers)) return message;
      if (options.headers !== undefined) keepOthers(headers, options.headers, propagator.fields());
      return { key, payload, options: hasMembers(options) ? { ...options, headers } : { headers } };
    } catch (error) {
      failures.report(WRITING, error);
      return message;
    }
  }

  #awaitEnd(stored: Promise<void>, span: Span | undefined, startedAt: number): void {
    Promise.resolve(stored).then(
      () => this.#succeeded(span, startedAt),
      (error: unknown) => this.#failed(error, span, startedAt),
    );
  }

  #succeeded(span: Span | undefined, startedAt: number): void {
    const { metrics } = this.#telemetry;
    metrics?.published(performance.now() - startedAt, undefined);
    if (span !== undefined) this.#telemetry.end(span);
  }

  #failed(error: unknown, span: Span | undefined, startedAt: number): void {
    const type = errorTypeOf(error);
    this.#telemetry.metrics?.published(performance.now() - startedAt, type);
    if (span !== undefined) this.#telemetry.end(span, { error, type });
  }
}

/** Whether `handle` or `validated` publishes a message that was given up. */
function isDeadLetter(headers: MessageHeaders): boolean {
  return Object.hasOwn(headers, 'sluice-error');
}

function validContext(spanContext: SpanContext | undefined): SpanContext | undefined {
  return spanContext !== undefined && isSpanContextValid(spanContext) ? spanContext : undefined;
}
