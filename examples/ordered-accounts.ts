/**
 * Bookings on accounts: in order on each account, several accounts in parallel.
 *
 * One booking fails twice. It is retried in place: the next bookings of its account wait, other
 * accounts continue.
 *
 *     npx tsx examples/ordered-accounts.ts
 */
import assert from 'node:assert/strict';
import { handle, MemoryBackend } from 'sluice';

interface AccountEvents {
  booking: { readonly account: string; readonly number: number; readonly cents: number };
}

interface Account {
  balance: number;
  readonly booked: number[];
}

const accounts = new Map<string, Account>();
let lockedOut = 2;

/** Reads, waits, writes. Two concurrent bookings on one account would lose one of them. */
async function book({ account, number, cents }: AccountEvents['booking']): Promise<string> {
  const { balance, booked } = accounts.get(account) ?? { balance: 0, booked: [] };
  await Promise.resolve();
  if (account === 'alice' && number === 1 && lockedOut-- > 0) throw new Error('The row is locked');
  if (balance + cents < 0) throw new Error('Not enough money: a booking is missing');
  accounts.set(account, { balance: balance + cents, booked: [...booked, number] });
  return `${account} ${number}`;
}

const queue = new MemoryBackend<AccountEvents>({ name: 'bookings', validate: 'json' });
const names = ['alice', 'bob', 'carol', 'dave'];
for (const account of names) await queue.publish('booking', { account, number: 1, cents: 1000 });
for (const account of names) await queue.publish('booking', { account, number: 2, cents: -700 });
for (const account of names) await queue.publish('booking', { account, number: 3, cents: -300 });
await queue.close();

await queue
  // Deliveries that wait for their account keep their credit, so `prefetch` exceeds `concurrency`.
  .deliveries({ prefetch: 12 })
  .pipe(
    handle(({ payload }) => book(payload), {
      concurrency: 3,
      orderBy: ({ payload }) => payload.account,
      retry: { count: 5, delay: 20 },
      // Failures are printed from the outcomes.
      logger: { debug() {}, warn() {}, error: console.error },
      onOutcome: ({ status, delivery }) => {
        if (status === 'retried')
          console.log(`${delivery.payload.account} ${delivery.payload.number} failed on attempt ${delivery.attempt}`);
      },
    }),
  )
  .forEach((booking) => {
    console.log(booking);
  });

for (const name of names) {
  const account = accounts.get(name);
  assert.deepEqual(account, { balance: 0, booked: [1, 2, 3] });
  console.log(`${name}: booked ${account?.booked.join(', ')}, balance ${account?.balance}`);
}
