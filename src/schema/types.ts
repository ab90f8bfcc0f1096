import type { AnyEvents, EventMap, KeyOf, PublishOptions, QueueBackend, QueueKey, QueuePayload } from '../backend.js';
import type { StandardSchemaV1 } from './standard-schema.js';

/** The constraint of a map of schemas: each key has a schema whose output is an object. */
export type SchemaMap<Schemas> = { readonly [Key in keyof Schemas]: StandardSchemaV1<unknown, QueuePayload> };

type Types<Schema> =
  Schema extends StandardSchemaV1<infer Input, infer Output>
    ? { readonly input: Input; readonly output: Output }
    : never;

/** The objects of a type. All objects if the type is `unknown` or `any`. */
type ObjectsOf<Type> = unknown extends Type ? QueuePayload : Extract<Type, QueuePayload>;

/** The events that can be published: the input types of schemas, by key. */
export type SchemaInput<Schemas extends SchemaMap<Schemas>> = {
  [Key in KeyOf<Schemas>]: ObjectsOf<Types<Schemas[Key]>['input']>;
};

/** The events that are delivered: the output types of schemas, by key. */
export type SchemaOutput<Schemas extends SchemaMap<Schemas>> = {
  [Key in KeyOf<Schemas>]: ObjectsOf<Types<Schemas[Key]>['output']>;
};

/** What happens to messages whose key has no schema. */
export type UnknownKeys = 'reject' | 'pass';

/** Publishes the input types of schemas, and any object for any other key. */
interface PassingPublisher<Inputs extends EventMap<Inputs>> {
  publish<Key extends QueueKey>(
    key: Key,
    payload: Key extends keyof Inputs ? Inputs[Key] : QueuePayload,
    options?: PublishOptions | undefined,
  ): Promise<void>;
}

type Publisher<Inputs extends EventMap<Inputs>, Unknown extends UnknownKeys> = Unknown extends 'pass'
  ? PassingPublisher<Inputs>
  : Pick<QueueBackend<Inputs>, 'publish'>;

type Consumed<Outputs extends EventMap<Outputs>, Unknown extends UnknownKeys> = Pick<
  QueueBackend<Unknown extends 'pass' ? AnyEvents : Outputs>,
  'deliveries' | 'consume'
>;

/** The publisher in a transaction, of a queue that has one. */
type Within<Queue, Inputs extends EventMap<Inputs>, Unknown extends UnknownKeys> = Queue extends {
  within(transaction: infer Transaction): infer Inner;
}
  ? { within(transaction: Transaction): Omit<Inner, 'publish'> & Publisher<Inputs, Unknown> }
  : unknown;

/**
 * A queue whose messages are validated: every member of the given queue; `publish` takes the input
 * types of the schemas, and deliveries have the output types.
 *
 * With `unknownKeys: 'pass'`, a delivery may have any key and any object.
 */
export type ValidatedQueue<Queue, Schemas extends SchemaMap<Schemas>, Unknown extends UnknownKeys = 'reject'> = Omit<
  Queue,
  'publish' | 'deliveries' | 'consume' | 'within'
> &
  Publisher<SchemaInput<Schemas>, Unknown> &
  Consumed<SchemaOutput<Schemas>, Unknown> &
  Within<Queue, SchemaInput<Schemas>, Unknown>;
