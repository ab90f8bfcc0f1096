import type {
  ConsumerConfig,
  ConsumerInfo,
  JetStreamManager,
  MsgRequest,
  StoredMsg,
  StreamConfig,
  StreamInfo,
} from '@nats-io/jetstream';

/** The calls of JetStream's API that the queue makes. */
export interface JetStreamApi {
  getAccountInfo(): Promise<unknown>;
  readonly streams: {
    /** @param subjects those whose messages are counted, one by one */
    info(stream: string, subjects?: string): Promise<StreamInfo>;
    add(config: Partial<StreamConfig> & { readonly name: string }): Promise<StreamInfo>;
    update(stream: string, config: StreamConfig): Promise<StreamInfo>;
    /** Gets a message, or the first from `seq` on whose subject matches. Resolves to undefined if there is none. */
    getMessage(
      stream: string,
      query: { readonly seq: number; readonly next_by_subj?: string },
    ): Promise<StoredMsg | undefined>;
  };
  readonly consumers: {
    info(stream: string, consumer: string): Promise<ConsumerInfo>;
    add(stream: string, config: Partial<ConsumerConfig>): Promise<ConsumerInfo>;
    update(stream: string, consumer: string, config: Partial<ConsumerConfig>): Promise<ConsumerInfo>;
    list(stream: string): Promise<ConsumerInfo[]>;
    delete(stream: string, consumer: string): Promise<boolean>;
  };
}

/** @param answerTo waits for the answer to a call, until its deadline */
export function jetStreamApi(
  manager: JetStreamManager,
  answerTo: <Value>(call: Promise<Value>) => Promise<Value>,
): JetStreamApi {
  const { streams, consumers } = manager;
  return {
    getAccountInfo: () => answerTo(manager.getAccountInfo()),
    streams: {
      info: (stream, subjects) =>
        answerTo(streams.info(stream, subjects === undefined ? undefined : { subjects_filter: subjects })),
      add: (config) => answerTo(streams.add(config)),
      update: (stream, config) => answerTo(streams.update(stream, config)),
      getMessage: async (stream, query) =>
        (await answerTo(streams.getMessage(stream, query as MsgRequest))) ?? undefined,
    },
    consumers: {
      info: (stream, consumer) => answerTo(consumers.info(stream, consumer)),
      add: (stream, config) => answerTo(consumers.add(stream, config)),
      update: (stream, consumer, config) => answerTo(consumers.update(stream, consumer, config)),
      list: (stream) => answerTo(all(consumers.list(stream))),
      delete: (stream, consumer) => answerTo(consumers.delete(stream, consumer)),
    },
  };
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}
