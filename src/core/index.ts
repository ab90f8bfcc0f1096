/**
 * Contains the parts of a backend for another engine: connections, publishing, leases and credits.
 *
 * @module
 */

export { type Metadata, writeMetadata } from '../internal/metadata.js';
export type { Disposition } from './base-delivery.js';
export { Connection, type ConnectionOptions, type Link } from './connection.js';
export type { DriverDelivery } from './delivery.js';
export type { Driver, DriverAdministration, DriverConsumer, DriverPublisher } from './driver.js';
export { DriverBackend } from './driver-backend.js';
export { EngineErrors, type ErrorKind, type ErrorRules } from './engine-errors.js';
export { type Message, readEnvelope, writePayload } from './envelope.js';
export { type QueueEvent, QueueEvents } from './events.js';
export { type GroupHost, GroupLoop, type GroupLoopOptions, type GroupSession } from './group-loop.js';
export { type CheckedDriverOptions, checkDriverOptions, type DriverOptions } from './options.js';
export type { Pending } from './outbox.js';
export { type Batch, type PublishDriver, PublishLoop, type PublishLoopOptions } from './publish-loop.js';
export { PullBackend } from './pull-backend.js';
export type {
  ExchangeReply,
  ExchangeRequest,
  IncomingMessage,
  OutgoingMessage,
  PullDriver,
  StoredMessage,
  StoredSettlement,
} from './pull-driver.js';
