import type { QueueInterceptor } from 'sluice';

/** Intercepts everything and changes nothing. */
export const passThrough: QueueInterceptor = {
  publish: (message, next) => next(message),
  deliver: (delivery) => delivery,
  process: (_delivery, run) => run(),
};

/** The same, after some microtasks. */
export const passLater: QueueInterceptor = {
  async publish(message, next) {
    await Promise.resolve();
    await next(message);
  },
  async deliver(delivery) {
    await Promise.resolve();
    return delivery;
  },
  async process(_delivery, run) {
    await Promise.resolve();
    return run();
  },
};
