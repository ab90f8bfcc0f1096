import { RedisBackend } from '../../../dist/redis/index.js';
import { QUEUE } from '../names.mjs';
import { sluiceQueue } from '../sluice-queue.mjs';

export const { publisher, consumer } = sluiceQueue((url) => new RedisBackend({ url, name: QUEUE }));
