import { type } from 'arktype';
import type { StandardSchemaV1 } from 'sluice/schema';
import * as v from 'valibot';
import { z } from 'zod';

/** An order as publishers give it, and as consumers get it. */
export interface GivenOrder {
  id: number;
  at: string;
  items: { price: number }[];
  prices?: Record<string, number> | undefined;
}
export interface Order extends Omit<GivenOrder, 'at'> {
  at: Date;
}

type OrderSchema = StandardSchemaV1<GivenOrder, Order>;

/** The same schema in three libraries. */
export const orderSchemas: Record<'zod' | 'valibot' | 'arktype', OrderSchema> = {
  zod: z.object({
    id: z.number(),
    at: z.iso.datetime().transform((text) => new Date(text)),
    items: z.array(z.object({ price: z.number() })),
    prices: z.record(z.string(), z.number()).optional(),
  }),
  valibot: v.object({
    id: v.number(),
    at: v.pipe(
      v.string(),
      v.isoTimestamp(),
      v.transform((text) => new Date(text)),
    ),
    items: v.array(v.object({ price: v.number() })),
    prices: v.optional(v.record(v.string(), v.number())),
  }),
  arktype: type({
    id: 'number',
    at: 'string.date.iso.parse',
    items: type({ price: 'number' }).array(),
    'prices?': { '[string]': 'number' },
  }) as OrderSchema,
};

export const ORDER: GivenOrder = { id: 1, at: '2026-01-02T03:04:05.000Z', items: [{ price: 5 }] };

/** A schema written by hand. */
export function schemaOf(validate: (value: unknown) => unknown): StandardSchemaV1<object, object> {
  return { '~standard': { version: 1, vendor: 'spec', validate } } as StandardSchemaV1<object, object>;
}
