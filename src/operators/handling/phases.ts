/** Deliveries are taken and handlers started. */
export const OPEN = 0;
/** No handler is started any more; those that run finish. What still arrives is held. */
export const STOPPING = 1;
/** No handler runs, everything was given back, and the answers to that are awaited. */
export const CLOSING = 2;
/** It has ended, or the subscriber has left. */
export const OVER = 3;

/** Where a subscription to `handle` is, in this order. */
export type Phase = typeof OPEN | typeof STOPPING | typeof CLOSING | typeof OVER;
