import { RetentionPolicy } from '@nats-io/jetstream';
import { openConsumer, openPublisher } from './jetstream.mjs';

/** The server deletes settled messages. */
export const publisher = (url) => openPublisher(url, RetentionPolicy.Interest);

export const consumer = (url) => openConsumer(url, RetentionPolicy.Interest, (message) => message.ackAck());
