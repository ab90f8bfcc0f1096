import { from, lastValueFrom, mergeMap } from 'rxjs';

/**
 * Over an async iterable, where few values wait at a time: its buffer is an array that it shifts, a
 * hundred times slower when all come at once.
 */
export async function handleAll(handler, { messages, concurrency }) {
  await lastValueFrom(from(payloads(messages)).pipe(mergeMap((payload) => handler(payload), concurrency)));
}

async function* payloads(end) {
  for (let n = 0; n < end; n++) yield { n };
}
