import * as sluice from './sluice.mjs';

export function open(options) {
  const queue = sluice.open(options);
  return { ...queue, consumeDeliveries: queue.iterateDeliveries };
}
