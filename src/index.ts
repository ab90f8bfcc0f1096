/**
 * Contains the queue in memory, the operators, the bridge between Observables and loops, consumers, and
 * the types that all queues share.
 *
 * @module
 */

export type {
  AnyEvents,
  ConsumeOptions,
  ConsumerGroup,
  Delivery,
  DeliveryOf,
  DeliveryStream,
  EventMap,
  GroupInfo,
  KeyOf,
  ManagedQueue,
  MessageHeaders,
  MessageView,
  NackOptions,
  PayloadOf,
  PeekOptions,
  PublishArguments,
  PublishOptions,
  PurgeOptions,
  QueueBackend,
  QueueDiagnosis,
  QueueEntry,
  QueueFinding,
  QueueKey,
  QueuePayload,
  QueueStats,
  QueueStatus,
  Settlement,
  StatsOptions,
  StreamOf,
} from './backend.js';
export {
  type BackendStreams,
  type ConnectSubscriber,
  createStreams,
  type DeclaredGroups,
} from './bridge/create-streams.js';
export type { Intake } from './bridge/delivery-stream.js';
export { fromAsyncIterable } from './bridge/from-async-iterable.js';
export { type ReceiveOptions, receive } from './bridge/receive.js';
export { type ToAsyncBatchesOptions, toAsyncBatches } from './bridge/to-async-batches.js';
export { type BridgeOverflow, type ToAsyncIterableOptions, toAsyncIterable } from './bridge/to-async-iterable.js';
export {
  AsyncLoopConsumer,
  type AsyncLoopConsumerOptions,
  type ConsumerQueue,
} from './consumer/async-loop-consumer.js';
export type { EventConsumer, EventHandler, ShutdownOptions } from './consumer/event-consumer.js';
export {
  BackendNotFoundError,
  BackendUnavailableError,
  ConfigurationError,
  HandlerTimeoutError,
  InvalidMessageError,
  type MessageIssue,
  QueueClosedError,
  QueueNotFoundError,
  QueueOverflowError,
  SluiceError,
  UnrecoverableError,
  UnsupportedOperationError,
} from './errors.js';
export { intercept } from './interceptors/intercept.js';
export type { InterceptorContext, PublishedMessage, QueueInterceptor } from './interceptors/interceptor.js';
export { type CheckedMessage, checkDeclared, checkMessage } from './internal/check-message.js';
export { type DeliveryChanges, viewDelivery } from './internal/delivery-view.js';
export { type ExponentialBackoffOptions, exponentialBackoff } from './internal/exponential-backoff.js';
export type { LogDetails, Logger } from './internal/logger.js';
export type { AnyDelivery, Outcome, OutcomeStatus } from './internal/outcome.js';
export { type PinoLike, pinoLogger } from './internal/pino-logger.js';
export { type LoadBackendOptions, loadBackend } from './loader/load-backend.js';
export { type BackendFactory, registerBackend } from './loader/registry.js';
export { type CloseOptions, type FromEnvOptions, type JoinOptions, MemoryBackend } from './memory/memory-backend.js';
export type { MemoryBackendOptions, MemoryOverflow, MemoryValidation } from './memory/options.js';
export { type FilterDeliveriesOptions, filterDeliveries } from './operators/filter-deliveries.js';
export { handle } from './operators/handle.js';
export type {
  DeadLetterFunction,
  HandleOptions,
  Handler,
  HandlerContext,
  HandlerOutput,
  RetryOptions,
} from './operators/handle-options.js';
export { type DeliveryBatch, type InBatchesOptions, inBatches } from './operators/in-batches.js';
export { type PublishToOptions, publishTo } from './operators/publish-to.js';
export { type EventRoutes, type RouteOptions, type Routes, route } from './operators/route.js';
