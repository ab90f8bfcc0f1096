/** Forgets every backend that was registered, which no application can: the registry belongs to the process. */
export function forgetBackends(): void {
  delete (globalThis as { [key: symbol]: unknown })[Symbol.for('sluice.v0.backends')];
}
