import { NatsBackend } from '../../../dist/nats/index.js';
import { QUEUE } from '../names.mjs';
import { sluiceQueue } from '../sluice-queue.mjs';

export const { publisher, consumer } = sluiceQueue((url) => new NatsBackend({ url, name: QUEUE }));
