import type { JetStreamManager } from '@nats-io/jetstream';

/** Deletes a consumer. nats-server 2.9 reports an error where it was just writing the consumer's state; the consumer is deleted all the same. */
export async function deleteNatsConsumer(manager: JetStreamManager, stream: string, consumer: string): Promise<void> {
  try {
    await manager.consumers.delete(stream, consumer);
  } catch (error) {
    if (!String(error).includes('directory not empty')) throw error;
  }
}
