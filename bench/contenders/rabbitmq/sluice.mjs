import { RabbitMqBackend } from '../../../dist/rabbitmq/index.js';
import { QUEUE } from '../names.mjs';
import { sluiceQueue } from '../sluice-queue.mjs';

export const { publisher, consumer } = sluiceQueue((url) => new RabbitMqBackend({ url, name: QUEUE }));
