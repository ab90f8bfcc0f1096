import { QUEUE } from '../../contenders/names.mjs';

/**
 * What the contenders leave on the server: the queue of the raw client, and those of sluice's group
 * with the exchange before them.
 */
export const LEFT_BEHIND = {
  queues: [QUEUE, `${QUEUE}:group:default`, `${QUEUE}:group:default:again`],
  exchanges: [QUEUE],
};
