export const onRedis = { table: 'redis', server: 'redis' };
