/** What a server tells about its version. */
export interface ServerVersion {
  /** As its operators call it: "Redis 8.6.3", "Valkey 9.1.2". */
  readonly title: string;
  /** The version of Redis with whose commands it is compatible. */
  readonly redis: readonly [major: number, minor: number];
}

/**
 * Reads the version from the reply to `INFO server`. Valkey gives the version of Redis that it is compatible with as `redis_version`, and its own as `valkey_version`.
 * @returns undefined if the reply has no version
 */
export function readServerVersion(info: string): ServerVersion | undefined {
  const redis = /^redis_version:((\d+)\.(\d+)\S*)/m.exec(info);
  if (redis === null) return undefined;
  const [, text, major, minor] = redis;
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1];
  return { title: valkey === undefined ? `Redis ${text}` : `Valkey ${valkey}`, redis: [Number(major), Number(minor)] };
}
