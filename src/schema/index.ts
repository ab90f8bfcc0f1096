/**
 * Validates the messages of a queue with schemas of any library that supports Standard Schema.
 *
 * @module
 */

export type { MessageIssue } from '../errors.js';
export type { InvalidMessageFunction } from './invalid-messages.js';
export type { StandardIssue, StandardResult, StandardSchemaV1 } from './standard-schema.js';
export type { SchemaInput, SchemaMap, SchemaOutput, UnknownKeys, ValidatedQueue } from './types.js';
export { type ValidatedOptions, validated } from './validated.js';
