import type { Logger } from 'sluice';

export interface RecordingLogger extends Logger {
  readonly debugs: string[];
  readonly warnings: string[];
  readonly errors: string[];
}

/** A logger that records its messages. */
export function recordingLogger(): RecordingLogger {
  const debugs: string[] = [];
  const warnings: string[] = [];
  const errors: string[] = [];
  return {
    debugs,
    warnings,
    errors,
    debug: (message) => void debugs.push(message),
    warn: (message) => void warnings.push(message),
    error: (message) => void errors.push(message),
  };
}

/** A logger that discards its messages. */
export const silentLogger: Logger = { debug() {}, warn() {}, error() {} };
