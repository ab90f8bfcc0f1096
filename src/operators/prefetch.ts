import type { Observable } from 'rxjs';
import type { DeliveryStream } from '../backend.js';
import type { Logger } from '../internal/logger.js';

/**
 * Returns a function that warns once of a source whose `prefetch` is less than an operator can use.
 */
export function warnOfPrefetch(
  option: string,
  least: number,
  consequence: string,
  logger: Logger,
): (source: Observable<unknown>) => void {
  let warned = false;
  return (source) => {
    const { prefetch } = source as Partial<DeliveryStream>;
    if (warned || prefetch === undefined || prefetch >= least) return;
    warned = true;
    logger.warn(`The stream's \`prefetch\` of ${prefetch} is less than the \`${option}\` of ${least}: ${consequence}`);
  };
}
