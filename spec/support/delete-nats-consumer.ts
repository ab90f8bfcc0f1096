import type { JetStreamManager } from '@nats-io/jetstream';

/**
 * Deletes a consumer. nats-server 2.9 reports an error if it is writing the consumer's state, but
 * deletes the consumer anyway.
 */
export async function deleteNatsConsumer(manager: JetStreamManager, stream: string, consumer: string): Promise<void> {
  try {
    await manager.consumers.delete(stream, consumer);
  } catch (error) {
    if (!String(error).includes('directory not empty')) throw error;
  }
}
