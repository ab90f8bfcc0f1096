import type { Observable } from 'rxjs';
import { type ConsumeOptions, type Delivery, type DeliveryStream, MemoryBackend, type MemoryBackendOptions } from 'sluice';

/** A queue whose stream of deliveries a test makes out of the true one. */
export class ChangedQueue extends MemoryBackend {
  readonly #change: (deliveries: DeliveryStream) => Observable<Delivery>;

  constructor(options: MemoryBackendOptions, change: (deliveries: DeliveryStream) => Observable<Delivery>) {
    super(options);
    this.#change = change;
  }

  override deliveries(options?: ConsumeOptions): DeliveryStream {
    const stream = super.deliveries(options);
    return Object.assign(this.#change(stream), { prefetch: stream.prefetch, [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator]() });
  }
}
