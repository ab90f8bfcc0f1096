import { publishWith } from '../../scenarios/servers/publish.mjs';

export const natsPublish64 = publishWith(64, {
  title: 'NATS: publish, 64 at a time',
  text: '64 publishers await each publish. Measured from the first publish until the last confirm. The limit is a `js.publish` with a `msgID` per message.',
  contenders: ['sluice', 'jetstream'],
});
