import { RabbitMqBackend } from '../../../dist/rabbitmq/index.js';
import { QUEUE } from '../../contenders/names.mjs';
import { sluiceQueue } from '../../contenders/sluice-queue.mjs';

export const { publisher, consumer } = sluiceQueue((url) => new RabbitMqBackend({ url, name: QUEUE }));
