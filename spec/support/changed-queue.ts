import type { Observable } from 'rxjs';
import {
  type ConsumeOptions,
  type Delivery,
  type DeliveryStream,
  MemoryBackend,
  type MemoryBackendOptions,
} from 'sluice';
import { obeyCredit, withCredit } from '../../src/bridge/credit.js';

/** A memory queue whose stream of deliveries is transformed by the test. */
export class ChangedQueue extends MemoryBackend {
  readonly #change: (deliveries: DeliveryStream) => Observable<Delivery>;

  readonly #obeysCredit: boolean;

  /**
   * @param obeysCredit whether its streams obey a changing credit, like those of every built-in
   *   backend
   */
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
