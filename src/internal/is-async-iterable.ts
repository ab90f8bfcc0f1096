export function isAsyncIterable<Value>(value: unknown): value is AsyncIterable<Value> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<AsyncIterable<Value>>)[Symbol.asyncIterator] === 'function'
  );
}
