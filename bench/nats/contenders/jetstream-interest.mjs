import { RetentionPolicy } from '@nats-io/jetstream';
import { openConsumer, openPublisher } from './jetstream.mjs';

/** The server removes what is settled. */
export const publisher = (url) => openPublisher(url, RetentionPolicy.Interest);

export const consumer = (url) => openConsumer(url, RetentionPolicy.Interest, (message) => message.ackAck());
