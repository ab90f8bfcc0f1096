import { from, lastValueFrom, mergeMap } from 'rxjs';

/**
 * Reads an async iterable, so that few values wait at a time. `mergeMap` buffers in an array and
 * shifts it, which is a hundred times slower if all values arrive at once.
 */
export async function handleAll(handler, { messages, concurrency }) {
  await lastValueFrom(from(payloads(messages)).pipe(mergeMap((payload) => handler(payload), concurrency)));
}

async function* payloads(end) {
  for (let n = 0; n < end; n++) yield { n };
}
