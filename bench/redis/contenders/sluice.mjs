import { RedisBackend } from '../../../dist/redis/index.js';
import { QUEUE } from '../../contenders/names.mjs';
import { sluiceQueue } from '../../contenders/sluice-queue.mjs';

export const { publisher, consumer } = sluiceQueue((url) => new RedisBackend({ url, name: QUEUE }));
