/** What a handler does on one attempt. */
export interface Step {
  readonly end: 'return' | 'throw' | 'resolve' | 'reject' | 'complete' | 'error' | 'iterate' | 'never';
  /** How many virtual milliseconds an asynchronous handler takes. */
  readonly takes: number;
  /** How the handler settles the delivery itself, before anything else. */
  readonly hand?: 'ack' | 'nack' | 'release' | 'reject' | undefined;
}

export interface Message {
  readonly key: string;
  /** One step per attempt. Later attempts succeed. */
  readonly steps: readonly Step[];
}

export interface Settings {
  readonly concurrency: number;
  /** With `'auto'`, a consumer uses that value, and a stream uses its default prefetch. */
  readonly prefetch: number | 'auto';
  /** Whether a `deliveryLimit` is set that is never reached. It makes some deliveries run alone. */
  readonly limited: boolean;
  /** Whether the queue obeys a changing credit. */
  readonly obeysCredit: boolean;
  readonly ordered: boolean;
  readonly timeout: number | undefined;
  readonly retry: { readonly count: number; readonly delay: number };
  /** `'flaky'`: a function that fails for each message at first. */
  readonly deadLetter: 'none' | 'queue' | 'flaky';
  /** Whether settlements resolve later, like those of a broker. */
  readonly slow: boolean;
}

export interface Stop {
  readonly how: 'signal' | 'unsubscribe' | 'shutdown';
  readonly timeout: number;
}

/** The place where a consumer is stopped from inside: call number `call` of `where`. */
export interface Inside {
  readonly where: 'handler' | 'outcome' | 'deadLetter';
  readonly call: number;
}

/** A running consumer. */
export interface Worker {
  run(): void;
  /** Begins to stop the consumer. */
  halt(stop: Stop): void;
  /** Stops the consumer and waits for `timeout`. After that, the consumer is forced to stop. */
  stop(stop: Stop): Promise<void>;
}
