import type { ConsumerGroup, QueueStats } from '../../src/backend.js';
import type { Driver, DriverConsumer, DriverPublisher } from '../../src/core/driver.js';
import { EngineErrors } from '../../src/core/engine-errors.js';
import { QueueEvents } from '../../src/core/events.js';
import { InFlight } from '../../src/core/in-flight.js';
import type { CheckedMessage } from '../../src/internal/check-message.js';
import { recordingLogger } from '../support/recording-logger.js';
import { messageOf } from './fakes.js';

export const never: Promise<never> = new Promise(() => {});

/** A driver that follows the test and records its calls. */
export class FakeDriver implements Driver {
  readonly told: string[] = [];
  readonly logger = recordingLogger();
  readonly events = new QueueEvents({ queue: 'orders', logger: this.logger });
  readonly published: CheckedMessage[] = [];
  readonly #inFlight = new Map<ConsumerGroup, InFlight>();
  readonly failures = new EngineErrors(
    { engine: 'Broker', classify: () => 'refused', explain: () => undefined },
    { queue: 'orders', server: 'somewhere' },
  );

  readonly publisher: DriverPublisher = {
    publish: async (message) => void this.published.push(message),
    close: () => {
      this.told.push('publisher.close');
      return this.closeResult();
    },
    abandon: () => void this.told.push('publisher.abandon'),
  };

  /** The result of closing the publisher and the consumers. */
  closeResult = async (): Promise<void> => {};
  /** The result of shutting down. */
  shutDownResult = async (): Promise<void> => {};
  settled = async (): Promise<void> => {};
  count = async (group: ConsumerGroup | undefined, _signal: AbortSignal): Promise<QueueStats> => {
    this.told.push(`count ${group ?? 'all'}`);
    return { ready: 1, unfinished: 2 };
  };

  createConsumer(group: ConsumerGroup): DriverConsumer {
    this.told.push(`create ${group}`);
    const inFlight = new InFlight({
      queueName: 'orders',
      logger: this.logger,
      onChange() {},
      onFull() {},
      settle: async () => true,
    });
    this.#inFlight.set(group, inFlight);
    return {
      connect: (subscriber, intake) => inFlight.connect(subscriber, intake),
      settled: () => {
        this.told.push(`settled ${group}`);
        return this.settled();
      },
      close: () => {
        this.told.push(`close ${group}`);
        inFlight.end();
        return this.closeResult();
      },
      abandon: () => void this.told.push(`abandon ${group}`),
    };
  }

  deliver(group: ConsumerGroup, n: number): void {
    this.#inFlight.get(group)?.deliver({ ...messageOf(String(n)), payload: { n } });
  }

  lastError(): unknown {
    return 'unplugged';
  }

  shutDown(): Promise<void> {
    this.told.push('shutDown');
    return this.shutDownResult();
  }

  close(): void {
    this.told.push('close');
  }
}
