export type { DriverAdministration } from './driver.js';
export { DriverBackend } from './driver-backend.js';
export type { ErrorKind } from './engine-errors.js';
export type { DriverOptions } from './options.js';
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
