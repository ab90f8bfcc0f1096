/** The part of a channel of rabbitmq-client that the queue uses. */
export interface Channel {
  readonly active: boolean;
  queueDeclare(options: QueueOptions): Promise<QueueCounts>;
  exchangeDeclare(options: {
    readonly exchange: string;
    readonly type: string;
    readonly durable: boolean;
  }): Promise<unknown>;
  queueBind(options: {
    readonly exchange: string;
    readonly queue: string;
    readonly routingKey?: string;
  }): Promise<unknown>;
  exchangeBind(options: {
    readonly source: string;
    readonly destination: string;
    readonly routingKey: string;
  }): Promise<unknown>;
  /** Does not fail if the queue does not exist. */
  queueDelete(options: { readonly queue: string }): Promise<unknown>;
  /** Does not fail if the exchange does not exist. */
  exchangeDelete(options: { readonly exchange: string }): Promise<unknown>;
  queuePurge(options: { readonly queue: string }): Promise<{ readonly messageCount: number }>;
  confirmSelect(): Promise<unknown>;
  basicPublish(envelope: Envelope, body: Buffer): Promise<unknown>;
  basicQos(options: { readonly prefetchCount: number }): Promise<unknown>;
  basicConsume(
    options: { readonly queue: string; readonly consumerTag: string },
    deliver: (message: Incoming) => void,
  ): Promise<unknown>;
  basicCancel(options: { readonly consumerTag: string }): Promise<unknown>;
  basicAck(options: { readonly deliveryTag: number; readonly multiple?: boolean }): void;
  basicNack(options: Requeue): void;
  close(): Promise<void>;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  on(event: 'basic.return', listener: (message: { readonly messageId?: string }) => void): unknown;
  on(event: 'basic.cancel', listener: (consumerTag: string, error: unknown) => void): unknown;
}

export interface Requeue {
  readonly deliveryTag: number;
  readonly requeue: boolean;
}

/** A channel of a link, with a method that the client lacks. */
export interface LinkChannel extends Channel {
  basicReject(options: Requeue): void;
}

/** The part of a connection of rabbitmq-client that the queue uses. */
export interface Client {
  acquire(options: { readonly emitErrorsFromChannel: boolean }): Promise<Channel>;
  close(): Promise<void>;
  unsafeDestroy(): void;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'connection', listener: () => void): unknown;
  on(event: 'connection.blocked', listener: (reason: string) => void): unknown;
  on(event: 'connection.unblocked', listener: () => void): unknown;
  removeListener(event: string, listener: (...args: never[]) => void): unknown;
  getMaxListeners?(): number;
  setMaxListeners?(count: number): unknown;
}

export interface QueueCounts {
  readonly messageCount: number;
  readonly consumerCount: number;
}

export interface QueueOptions {
  readonly queue: string;
  readonly durable?: boolean;
  /** Does not create the queue. */
  readonly passive?: boolean;
  readonly arguments?: Readonly<Record<string, string | number>>;
}

/** The properties of a message, and its destination. */
export interface Envelope extends Properties {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
  readonly durable: boolean;
}

/** The properties of a message. Another program may have written them. */
export interface Properties {
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly messageId?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
}

/** A delivery of the client. */
export interface Incoming extends Properties {
  readonly deliveryTag: number;
  /** Whether the broker has delivered it before. */
  readonly redelivered?: boolean;
  /** A Buffer, or text or JSON without a content encoding, which the client decodes. */
  readonly body: unknown;
}
