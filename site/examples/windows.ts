import { filter, map, mergeMap, toArray, windowTime } from 'rxjs';
import { handle, MemoryBackend, publishTo } from 'sluice';

interface Readings {
  temperature: { readonly celsius: number };
}
interface Alarms {
  alarm: { readonly hottest: number };
}

const length = 2000; // 500 to 4000, milliseconds
const limit = 40; // 20 to 60

const readings = new MemoryBackend<Readings>({ name: 'readings' });
const alarms = new MemoryBackend<Alarms>({ name: 'alarms' });

const pipeline = readings
  .deliveries({ prefetch: 4 })
  .pipe(
    // Settles each delivery first: after it only values flow, which any operator may drop.
    handle(async ({ payload }) => {
      await pause(300);
      return payload.celsius;
    }),
    windowTime(length),
    mergeMap((window) => window.pipe(toArray())),
    filter((celsius) => celsius.length > 0),
    map((celsius) => Math.max(...celsius)),
    filter((hottest) => hottest > limit),
    publishTo(alarms, (hottest) => ['alarm', { hottest }]),
  )
  .forEach((hottest) => {
    console.log(`window with ${hottest} °C`);
  });

const watching = alarms
  .deliveries({ prefetch: 2 })
  .pipe(handle(() => pause(1200)))
  .forEach(() => {});

for (const celsius of [21, 35, 44, 30, 22, 25, 28, 47, 52, 31, 24, 20]) {
  await readings.publish('temperature', { celsius });
  await pause(600);
}
await readings.close();
await pipeline;
await alarms.close();
await watching;

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
