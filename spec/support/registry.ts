/** Removes all registered backends. Applications cannot do that: the registry is global. */
export function forgetBackends(): void {
  delete (globalThis as { [key: symbol]: unknown })[Symbol.for('sluice.v0.backends')];
}
