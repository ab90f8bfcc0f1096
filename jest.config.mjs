/** @type {import('jest').Config} */
export default {
  roots: ['<rootDir>/spec', '<rootDir>/src'],
  testMatch: ['<rootDir>/spec/**/*.spec.ts'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/spec/tsconfig.json' }] },
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^sluice$': '<rootDir>/src/index.ts',
    '^sluice/(nats|rabbitmq|redis|testing)$': '<rootDir>/src/$1/index.ts',
  },
  // Far longer than anything takes, but for a machine that has other things to do.
  testTimeout: 120_000,
  // Most of what takes long waits for a broker: one file at a time, as is usual where there are two cores, would leave them idle.
  maxWorkers: 2,
};
