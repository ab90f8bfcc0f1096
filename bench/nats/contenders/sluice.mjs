import { NatsBackend } from '../../../dist/nats/index.js';
import { QUEUE } from '../../contenders/names.mjs';
import { sluiceQueue } from '../../contenders/sluice-queue.mjs';

export const { publisher, consumer } = sluiceQueue((url) => new NatsBackend({ url, name: QUEUE }));
