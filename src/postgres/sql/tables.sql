-- Names, ids and keys are text in which a backslash stands for `\\` and NUL for `\0`.
CREATE TABLE queues (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE
);

CREATE TABLE groups (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue integer NOT NULL,
  name text NOT NULL,
  UNIQUE (queue, name)
);

-- How far each group has read. The last row counts. A row that was updated instead would collect
-- versions during a long transaction, and each claim would read them all.
CREATE TABLE cursors (
  grp integer NOT NULL,
  place bigint NOT NULL,
  PRIMARY KEY (grp, place)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The messages in the order of the queue. A group has a message in one of three states: not read
-- (beyond the cursor), pending (in `claims` or `requeued`), or settled (neither).
CREATE TABLE messages (
  queue integer NOT NULL,
  place bigint GENERATED ALWAYS AS IDENTITY,
  addressee integer, -- The only group that gets the message.
  skipped integer[], -- Groups that do not get the message: it was purged for them.
  id text NOT NULL,
  key text NOT NULL,
  payload text NOT NULL,
  metadata text,
  published_at double precision NOT NULL, -- In milliseconds since the epoch.
  PRIMARY KEY (queue, place)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- Messages without a place: delayed ones, and those of transactions of the application. They take
-- the last place when they are due and committed.
CREATE TABLE unplaced (
  queue integer NOT NULL,
  due timestamptz NOT NULL,
  number bigint GENERATED ALWAYS AS IDENTITY,
  addressee integer,
  skipped integer[],
  id text NOT NULL,
  key text NOT NULL,
  payload text NOT NULL,
  metadata text,
  published_at double precision NOT NULL,
  PRIMARY KEY (queue, due, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- Messages in flight: those that a request of a consumer got, as far as they are not settled. One row for
-- many messages costs much less than a row for each.
CREATE TABLE claims (
  grp integer NOT NULL,
  section bigint NOT NULL, -- Of all places, the place divided by 4096: finds the claim of a message.
  consumer bigint NOT NULL,
  request bigint NOT NULL, -- Its number. It distinguishes the deliveries of a message.
  attempt integer NOT NULL, -- Of all messages.
  places bigint[] NOT NULL,
  PRIMARY KEY (grp, section, consumer, request, attempt)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE requeued (
  grp integer NOT NULL,
  place bigint NOT NULL,
  attempt integer NOT NULL, -- The number of the next delivery.
  due timestamptz, -- Of a message with a delay.
  PRIMARY KEY (grp, place)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
CREATE INDEX requeued_ready ON requeued (grp, place) WHERE due IS NULL;
CREATE INDEX requeued_due ON requeued (grp, due) WHERE due IS NOT NULL;

CREATE TABLE consumers (
  id bigint PRIMARY KEY,
  grp integer NOT NULL,
  expires timestamptz NOT NULL, -- The lease of all its messages.
  idle boolean NOT NULL, -- It waits for a notification.
  request bigint NOT NULL -- The number of the request that renewed the lease last.
) WITH (fillfactor = 50);
CREATE INDEX consumers_grp ON consumers (grp);

-- What publishers have sent, so that a batch that is sent again is stored once.
CREATE TABLE batches (
  publisher text NOT NULL,
  number bigint NOT NULL,
  expires timestamptz NOT NULL,
  PRIMARY KEY (publisher, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The ids that publishers gave, for deduplication.
CREATE TABLE ids (
  queue integer NOT NULL,
  id text NOT NULL,
  expires timestamptz NOT NULL,
  PRIMARY KEY (queue, id)
);
CREATE INDEX ids_expires ON ids (expires);

CREATE TABLE quarantine (
  queue text NOT NULL,
  grp text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  reason text,
  id text NOT NULL,
  key text NOT NULL,
  payload text NOT NULL,
  metadata text,
  published_at double precision NOT NULL
);
