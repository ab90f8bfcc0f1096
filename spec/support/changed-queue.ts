import type { Observable } from 'rxjs';
import {
  type ConsumeOptions,
  type Delivery,
  type DeliveryStream,
  MemoryBackend,
  type MemoryBackendOptions,
} from 'sluice';
import { obeyCredit, withCredit } from '../../src/bridge/credit.js';

/** A queue whose stream of deliveries a test makes out of the true one. */
export class ChangedQueue extends MemoryBackend {
  readonly #change: (deliveries: DeliveryStream) => Observable<Delivery>;

  readonly #obeysCredit: boolean;

  /** @param obeysCredit whether its streams obey a credit that changes, as those of every backend of the library */
  constructor(
    options: MemoryBackendOptions,
    change: (deliveries: DeliveryStream) => Observable<Delivery>,
    obeysCredit = false,
  ) {
    super(options);
    this.#change = change;
    this.#obeysCredit = obeysCredit;
  }

  override deliveries(options?: ConsumeOptions): DeliveryStream {
    const stream = super.deliveries(options);
    const changed = this.#change(stream);
    if (this.#obeysCredit) obeyCredit(changed, (credit) => this.#change(withCredit(stream, credit) as DeliveryStream));
    return Object.assign(changed, {
      prefetch: stream.prefetch,
      [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
    });
  }
}
