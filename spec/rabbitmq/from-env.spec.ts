import { RabbitMqBackend } from 'sluice/rabbitmq';
import { RABBITMQ } from '../support/provider.js';
import { providerEnvironment } from '../support/provider-environment.js';

providerEnvironment(RabbitMqBackend, RABBITMQ);
