import type { ConsumerConfig, ConsumerInfo, JetStreamManager, MsgRequest, StreamConfig } from '@nats-io/jetstream';

export type JetStreamApi = ReturnType<typeof jetStreamApi>;

/**
 * Wraps the calls of JetStream's API that a queue makes.
 * @param inTime waits for the response to a call until its deadline
 */
export function jetStreamApi(manager: JetStreamManager, inTime: <Value>(call: Promise<Value>) => Promise<Value>) {
  const { streams, consumers } = manager;
  return {
    getAccountInfo: () => inTime(manager.getAccountInfo()),
    streams: {
      /** @param subjects counts the messages on each of these subjects */
      info: (stream: string, subjects?: string) =>
        inTime(streams.info(stream, subjects === undefined ? undefined : { subjects_filter: subjects })),
      add: (config: Partial<StreamConfig> & { readonly name: string }) => inTime(streams.add(config)),
      /** Changes the given fields of a fresh configuration. */
      update: (stream: string, config: Partial<StreamConfig>) => inTime(streams.update(stream, config)),
      delete: (stream: string) => inTime(streams.delete(stream)),
      /** Reads a message, or the first one from `seq` on whose subject matches. */
      getMessage: async (stream: string, query: { readonly seq: number; readonly next_by_subj?: string }) =>
        (await inTime(streams.getMessage(stream, query as MsgRequest))) ?? undefined,
    },
    consumers: {
      info: (stream: string, consumer: string) => inTime(consumers.info(stream, consumer)),
      add: (stream: string, config: Partial<ConsumerConfig>) => inTime(consumers.add(stream, config)),
      update: (stream: string, consumer: string, config: Partial<ConsumerConfig>) =>
        inTime(consumers.update(stream, consumer, config)),
      list: (stream: string) => inTime(all(consumers.list(stream))),
      delete: (stream: string, consumer: string) => inTime(consumers.delete(stream, consumer)),
    },
  };
}

async function all(pages: AsyncIterable<ConsumerInfo>): Promise<ConsumerInfo[]> {
  const found: ConsumerInfo[] = [];
  for await (const info of pages) found.push(info);
  return found;
}
