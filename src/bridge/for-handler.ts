import type { Observable } from 'rxjs';
import type { Delivery } from '../backend.js';

/** The streams of an intercepted queue have a method of this name, in both builds. */
const FOR_HANDLER = Symbol.for('sluice.v0.for-handler');

interface HandlerStream {
  [FOR_HANDLER]: () => Observable<Delivery>;
}

/**
 * Returns the stream for a consumer that fails attempts: it also gets the deliveries on which an
 * interceptor has failed, which know the error. To other consumers, such deliveries are not emitted.
 */
export function forHandler(stream: Observable<Delivery>): Observable<Delivery> {
  return (stream as Partial<HandlerStream>)[FOR_HANDLER]?.() ?? stream;
}

/** Gives a stream another one for handlers. */
export function offerForHandler(stream: Observable<Delivery>, create: () => Observable<Delivery>): void {
  (stream as Partial<HandlerStream>)[FOR_HANDLER] = create;
}

/** Whether a stream has another one for handlers. */
export function hasForHandler(stream: Observable<Delivery>): boolean {
  return FOR_HANDLER in stream;
}
