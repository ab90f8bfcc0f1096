type Strings<Keys extends string> = Readonly<Record<Keys, string>>;

/** The part of a channel of rabbitmq-client that the queue uses. */
export interface Channel {
  readonly active: boolean;
  queueDeclare(options: QueueOptions): Promise<QueueCounts>;
  exchangeDeclare(
    options: Strings<'exchange' | 'type'> & { readonly durable?: boolean; readonly passive?: boolean },
  ): Promise<unknown>;
  queueBind(options: Strings<'exchange' | 'queue'> & { readonly routingKey?: string }): Promise<unknown>;
  exchangeBind(options: Strings<'source' | 'destination' | 'routingKey'>): Promise<unknown>;
  /** Does not fail if the queue does not exist. */
  queueDelete(options: Strings<'queue'>): Promise<unknown>;
  /** Does not fail if the exchange does not exist. */
  exchangeDelete(options: Strings<'exchange'>): Promise<unknown>;
  queuePurge(options: Strings<'queue'>): Promise<Pick<QueueCounts, 'messageCount'>>;
  confirmSelect(): Promise<unknown>;
  basicPublish(envelope: Envelope, body: Buffer): Promise<unknown>;
  basicQos(options: { readonly prefetchCount: number }): Promise<unknown>;
  basicConsume(options: Strings<'queue' | 'consumerTag'>, deliver: (message: Incoming) => void): Promise<unknown>;
  basicCancel(options: Strings<'consumerTag'>): Promise<unknown>;
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
