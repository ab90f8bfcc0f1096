import { QUEUE } from '../../contenders/names.mjs';

/**
 * The queues and exchanges that the contenders leave on the server: those of the raw client and
 * those of sluice.
 */
export const LEFT_BEHIND = {
  queues: [QUEUE, `${QUEUE}:group:default`, `${QUEUE}:group:default:again`],
  exchanges: [QUEUE],
};
