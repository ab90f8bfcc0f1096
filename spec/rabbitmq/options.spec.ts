import { RabbitMqBackend } from 'sluice/rabbitmq';
import { RABBITMQ } from '../support/provider.js';
import { providerOptions } from '../support/provider-options.js';

const client = { acquire: async () => undefined, on: () => undefined, removeListener: () => undefined };

providerOptions(RabbitMqBackend, RABBITMQ, {
  client,
  method: 'acquire',
  refused: [[{ client: { ...client, on: 5 } }, TypeError, /`client`.*`on`/]],
});
