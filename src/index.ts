export type {
  AnyEvents,
  ConsumeOptions,
  ConsumerGroup,
  Delivery,
  DeliveryOf,
  DeliveryStream,
  EventMap,
  KeyOf,
  MessageHeaders,
  NackOptions,
  PayloadOf,
  PublishArguments,
  PublishOptions,
  QueueBackend,
  QueueEntry,
  QueueKey,
  QueuePayload,
  QueueStats,
  Settlement,
  StatsOptions,
  StreamOf,
} from './backend.js';
export { fromAsyncIterable } from './bridge/from-async-iterable.js';
export { type ReceiveOptions, receive } from './bridge/receive.js';
export { type ToAsyncBatchesOptions, toAsyncBatches } from './bridge/to-async-batches.js';
export { type BridgeOverflow, type ToAsyncIterableOptions, toAsyncIterable } from './bridge/to-async-iterable.js';
export {
  BackendNotFoundError,
  BackendUnavailableError,
  ConfigurationError,
  HandlerTimeoutError,
  InvalidMessageError,
  QueueClosedError,
  QueueOverflowError,
  SluiceError,
} from './errors.js';
export type { Logger } from './internal/logger.js';
export { type CloseOptions, type FromEnvOptions, type JoinOptions, MemoryBackend } from './memory/memory-backend.js';
export type { MemoryBackendOptions, MemoryOverflow, MemoryValidation } from './memory/options.js';
