/** What a handler does with one try at a message. */
export interface Step {
  readonly end: 'return' | 'throw' | 'resolve' | 'reject' | 'complete' | 'error' | 'iterate' | 'never';
  /** How long it takes, where it is asynchronous. */
  readonly takes: number;
  /** How it settles by hand, before anything else. */
  readonly hand?: 'ack' | 'nack' | 'release' | 'reject' | undefined;
}

export interface Message {
  readonly key: string;
  /** One for each try; when they are over, it is well. */
  readonly steps: readonly Step[];
}

export interface Settings {
  readonly concurrency: number;
  /** `'auto'`: where it is a consumer; else as a stream has it that names none. */
  readonly prefetch: number | 'auto';
  /** Whether there is a `deliveryLimit`, so high that nothing is given up for it: then some deliveries are run alone. */
  readonly limited: boolean;
  /** Whether the queue obeys a credit that changes. */
  readonly obeysCredit: boolean;
  readonly ordered: boolean;
  readonly timeout: number | undefined;
  readonly retry: { readonly count: number; readonly delay: number };
  /** `'flaky'`: a function that fails over each message at first. */
  readonly deadLetter: 'none' | 'queue' | 'flaky';
  /** Whether settlements are answered later, as by a broker. */
  readonly slow: boolean;
}

export interface Stop {
  readonly how: 'signal' | 'unsubscribe' | 'shutdown';
  readonly timeout: number;
}

/** Where a consumer may be stopped from inside: within the so-manieth call. */
export interface Inside {
  readonly where: 'handler' | 'outcome' | 'deadLetter';
  readonly call: number;
}

/** A consumer that works. */
export interface Worker {
  run(): void;
  /** Begins to stop it. */
  halt(stop: Stop): void;
  /** Stops it, and waits until it has stopped, for so long as the stop says; then it is made to. */
  stop(stop: Stop): Promise<void>;
}
