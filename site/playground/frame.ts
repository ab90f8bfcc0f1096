// The script of the sandboxed frame. It starts and ends the worker, and runs no code of the reader,
// so it always answers.
import type { FrameReply, FrameRequest } from './protocol.js';

let worker: Worker | undefined;

/** The script of the worker, the same for every program, and its URL. */
let script = { code: '', url: '' };

const reply = (message: FrameReply): void => parent.postMessage(message, '*');

const urlOf = (code: string): string => URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));

function stop(): void {
  worker?.terminate();
  worker = undefined;
}

addEventListener('message', ({ data, source, ports }: MessageEvent<FrameRequest>) => {
  if (source !== parent) return;
  if (data.type === 'start') start(data, ports);
  else if (data.type === 'locate') locate(data.code);
  else {
    stop();
    reply({ type: 'stopped' });
  }
});

function start({ worker: code, start }: Extract<FrameRequest, { type: 'start' }>, ports: readonly MessagePort[]): void {
  stop();
  if (script.code !== code) script = { code, url: urlOf(code) };
  // A classic worker, which imports modules all the same: Chromium refuses to start a module worker
  // from a blob in a frame without an origin.
  worker = new Worker(script.url);
  worker.onerror = (event) => {
    event.preventDefault();
    reply({ type: 'broken', message: event.message ?? 'The worker could not be started' });
  };
  worker.postMessage(start, [...ports]);
}

/**
 * Finds a syntax error: a browser tells its place only for the script of a document. The code never
 * runs, since it imports a module that does not exist.
 */
function locate(code: string): void {
  const url = urlOf(`${code}\n;import 'data:none';`);
  const element = document.createElement('script');
  const found = (event?: ErrorEvent): void => {
    removeEventListener('error', listener, true);
    element.remove();
    URL.revokeObjectURL(url);
    reply({ type: 'located', line: event?.lineno || undefined, column: event?.colno || undefined });
  };
  const listener = (event: Event): void => {
    // The script itself fails too, without a place, when only the import is wrong.
    event.preventDefault();
    found(event instanceof ErrorEvent ? event : undefined);
  };
  addEventListener('error', listener, true);
  element.type = 'module';
  element.src = url;
  document.head.append(element);
}

reply({ type: 'ready' });
