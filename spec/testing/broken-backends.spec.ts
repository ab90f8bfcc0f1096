import { MemoryBackend } from 'sluice';
import { type BackendCapabilities, type BackendNeeds, type CreateBackend, queueBackendContract } from 'sluice/testing';
import { brokenBackends } from '../support/broken/index.js';
import { Wrapped } from '../support/broken/wrapped.js';
import { silentLogger } from '../support/recording-logger.js';

/**
 * Maximum wait of a case for an event that never happens. Enough for all other waits on a busy
 * machine.
 */
const DEADLINE = 500;

const PROMISED: BackendCapabilities = {
  attempt: 'exact',
  release: 'uncounted',
  close: 'drained',
  validation: 'json',
  groups: 'ignored',
  logger: true,
};

function memory(
  { name, groups, logger = silentLogger }: BackendNeeds,
  capabilities: BackendCapabilities,
): MemoryBackend {
  const declared = capabilities.groups === 'separate' ? (groups ?? ['default']) : undefined;
  return new MemoryBackend({ name, logger, validate: capabilities.validation, groups: declared });
}

function caseOf(name: string, create: CreateBackend, capabilities: BackendCapabilities) {
  const found = queueBackendContract(create, capabilities).find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`No case "${name}", or it is skipped`);
  return found;
}

describe.each(brokenBackends)('A backend that $defect', ({ caughtBy, saying, create, capabilities: beyond }) => {
  const capabilities = { ...PROMISED, ...beyond };

  it(`is caught by "${caughtBy}"`, async () => {
    const { run } = caseOf(caughtBy, async (needs = {}) => create(memory(needs, capabilities), needs), {
      ...capabilities,
      deadline: beyond?.deadline ?? DEADLINE,
    });
    await expect(run()).rejects.toThrow(saying);
  });
});

describe('A wrapped backend without a defect', () => {
  const caught = new Map(
    brokenBackends.map(({ caughtBy, capabilities }) => [caughtBy, { ...PROMISED, ...capabilities }]),
  );

  it.each([...caught].filter(([, { close }]) => close === 'drained'))('passes "%s"', (name, capabilities) =>
    caseOf(name, async (needs = {}) => new Wrapped(memory(needs, capabilities)), capabilities).run(),
  );
});

it('catches broken backends for every rule and for the administration', () => {
  expect(brokenBackends.length).toBeGreaterThanOrEqual(150);
  const rules = new Set(brokenBackends.map(({ caughtBy }) => Number(/^rule (\d+):/.exec(caughtBy)?.[1] ?? 0)));
  expect([...rules].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
});
