CREATE FUNCTION read_up_to(g integer) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN coalesce((SELECT place FROM cursors WHERE grp = g ORDER BY place DESC LIMIT 1), 0);
END $$;

CREATE FUNCTION wants(addressee integer, skipped integer[], g integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(addressee, g) = g AND (skipped IS NULL OR g <> ALL (skipped)) $$;

-- Whether a group, except `but`, needs a message. `waits`: only if it has it neither delayed nor in flight.
CREATE FUNCTION is_needed(m messages, but integer, waits boolean) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM groups h
    WHERE h.queue = m.queue AND h.id IS DISTINCT FROM but AND wants(m.addressee, m.skipped, h.id) AND (
      read_up_to(h.id) < m.place
      OR EXISTS (SELECT FROM requeued r WHERE r.grp = h.id AND r.place = m.place AND (NOT waits OR coalesce(r.due <= clock_timestamp(), true)))
      OR (NOT waits AND EXISTS (SELECT FROM claims c WHERE c.grp = h.id AND c.section = m.place >> 12 AND m.place = ANY (c.places)))));
END $$;

-- Wakes the idle consumers of a queue, except `but`.
CREATE FUNCTION wake(q integer, but bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM groups g JOIN consumers c ON c.grp = g.id
    WHERE g.queue = q AND c.idle AND c.id IS DISTINCT FROM but AND c.expires > clock_timestamp())
  THEN PERFORM pg_notify('sluice', current_schema || '.' || name) FROM queues WHERE id = q; END IF;
END $$;

-- Gives messages that became due after `since` the last places. During a long transaction, the
-- entries of messages that were placed before stay in the index: a full search reads them all.
CREATE FUNCTION place_due(q integer, since timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  at timestamptz := clock_timestamp();
BEGIN
  IF EXISTS (SELECT FROM unplaced WHERE queue = q AND due <= at AND due > since) THEN
    -- Places must appear in their order. So a transaction that assigns places locks the queue until
    -- it commits.
    PERFORM FROM queues WHERE id = q FOR UPDATE;
    WITH placed AS (DELETE FROM unplaced WHERE queue = q AND due <= at AND due > since RETURNING *)
    INSERT INTO messages (queue, addressee, skipped, id, key, payload, metadata, published_at)
    SELECT queue, addressee, skipped, id, key, payload, metadata, published_at FROM placed ORDER BY due, number;
  END IF;
END $$;

-- Creates a queue and groups. `first`: only if the queue has no group.
CREATE FUNCTION open(queue_name text, names text[], first boolean) RETURNS void
LANGUAGE plpgsql SETTINGS AS $$
DECLARE
  q integer;
BEGIN
  INSERT INTO queues (name) VALUES (queue_name) ON CONFLICT DO NOTHING;
  SELECT id INTO q FROM queues WHERE name = queue_name FOR UPDATE;
  IF NOT FOUND THEN RAISE 'The queue was deleted' USING ERRCODE = 'SLQ01'; END IF;
  IF first AND EXISTS (SELECT FROM groups WHERE queue = q) THEN RETURN; END IF;
  INSERT INTO groups (queue, name) SELECT q, unnest(names) ON CONFLICT DO NOTHING;
END $$;

-- Stores messages, in order. `publisher` NULL: within a transaction of the application, whose
-- messages take their places when it has committed. `plain`: no message has an id of its publisher, a
-- group or a delay. Times are in milliseconds.
CREATE FUNCTION publish(
  queue_name text, publisher text, batch bigint, remembered double precision, dedupe_window double precision, plain boolean, sent json
) RETURNS void
LANGUAGE plpgsql SETTINGS AS $$
#variable_conflict use_column
DECLARE
  q integer := (SELECT id FROM queues WHERE name = queue_name);
  at timestamptz := clock_timestamp();
  duplicates bigint[] := '{}';
BEGIN
  IF q IS NULL OR (NOT plain AND EXISTS (
    SELECT FROM json_to_recordset(sent) m("group" text)
    WHERE m."group" IS NOT NULL AND NOT EXISTS (SELECT FROM groups g WHERE g.queue = q AND g.name = m."group")))
  THEN RAISE 'The queue or a group does not exist' USING ERRCODE = 'SLQ01'; END IF;
  IF publisher IS NOT NULL THEN
    INSERT INTO batches VALUES (publisher, batch, at + remembered * interval '1 ms') ON CONFLICT DO NOTHING;
    -- A batch that arrives late was sent again, and its row is gone if later ones are stored.
    IF NOT FOUND OR EXISTS (SELECT FROM batches b WHERE b.publisher = publish.publisher AND b.number > batch) THEN RETURN; END IF;
  END IF;
  IF NOT plain THEN
    -- In the order of the ids, so that two publishers do not wait for each other.
    WITH given AS (
      SELECT m.id, m.n, row_number() OVER (PARTITION BY m.id ORDER BY m.n) AS nth
      FROM ROWS FROM (json_to_recordset(sent) AS (id text, given boolean)) WITH ORDINALITY m(id, given, n) WHERE m.given),
    fresh AS (
      INSERT INTO ids AS known (queue, id, expires)
      SELECT q, id, at + dedupe_window * interval '1 ms' FROM given WHERE nth = 1 ORDER BY id
      ON CONFLICT (queue, id) DO UPDATE SET expires = excluded.expires WHERE known.expires <= at
      RETURNING known.id)
    SELECT coalesce(array_agg(n), '{}') INTO duplicates FROM given WHERE nth > 1 OR id NOT IN (SELECT id FROM fresh);
  END IF;
  IF publisher IS NOT NULL THEN
    -- Only now: a wait for a transaction that uses one of the ids stops no other publisher.
    PERFORM FROM queues WHERE id = q FOR UPDATE;
    IF NOT FOUND THEN RAISE 'The queue was deleted' USING ERRCODE = 'SLQ01'; END IF;
    PERFORM place_due(q, at - interval '10 s');
    WITH gone AS (DELETE FROM batches b WHERE b.publisher = publish.publisher AND b.number = batch - 1)
    INSERT INTO messages (queue, addressee, id, key, payload, metadata, published_at)
    SELECT q, CASE WHEN m."group" IS NOT NULL THEN (SELECT g.id FROM groups g WHERE g.queue = q AND g.name = m."group") END,
      m.id, m.key, m.payload, m.metadata, m.published
    FROM ROWS FROM (json_to_recordset(sent) AS (id text, key text, payload text, metadata text, published double precision, "group" text, delay double precision))
      WITH ORDINALITY m(id, key, payload, metadata, published, "group", delay, n)
    WHERE plain OR (m.delay IS NULL AND m.n <> ALL (duplicates));
  ELSE
    -- The messages of a transaction are due together: they keep their order.
    at := to_timestamp(set_config('sluice.at',
      coalesce(nullif(current_setting('sluice.at', true), ''), extract(epoch FROM at)::text), true)::double precision);
  END IF;
  IF publisher IS NULL OR NOT plain THEN
    INSERT INTO unplaced (queue, due, addressee, id, key, payload, metadata, published_at)
    SELECT q, coalesce(clock_timestamp() + m.delay * interval '1 ms', at),
      (SELECT g.id FROM groups g WHERE g.queue = q AND g.name = m."group"), m.id, m.key, m.payload, m.metadata, m.published
    FROM ROWS FROM (json_to_recordset(sent) AS (id text, key text, payload text, metadata text, published double precision, "group" text, delay double precision))
      WITH ORDINALITY m(id, key, payload, metadata, published, "group", delay, n)
    WHERE (m.delay IS NOT NULL OR publisher IS NULL) AND m.n <> ALL (duplicates);
  END IF;
  PERFORM wake(q);
END $$;

-- Settles deliveries of a consumer. `requests`: those that got them. `attempts`: 0 is done, -1 is
-- quarantine, another is that of the next delivery. NULL: all are done. Returns the places that did
-- not count, or NULL.
CREATE FUNCTION settle(
  q integer, g integer, me bigint, places bigint[], requests bigint[], attempts integer[], delays double precision[], reasons text[]
) RETURNS bigint[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  alone boolean := NOT EXISTS (SELECT FROM groups WHERE queue = q AND id <> g);
  claimed CURSOR (s bigint, r bigint) FOR
    SELECT * FROM claims WHERE grp = g AND section = s AND consumer = me AND request = r ORDER BY attempt FOR UPDATE;
  part record;
  rest bigint[];
  mine bigint[] := '{}';
BEGIN
  -- Of two groups that settle a message at once, the second one must see that the first one has.
  IF NOT alone THEN PERFORM FROM messages WHERE queue = q AND place = ANY (places) ORDER BY place FOR UPDATE; END IF;
  FOR part IN SELECT place >> 12 AS section, request, array_agg(place ORDER BY place) AS chosen
    FROM unnest(places, requests) s(place, request) GROUP BY 1, 2 ORDER BY 1, 2
  LOOP
    -- Mostly, all of a claim is settled together.
    DELETE FROM claims c WHERE c.grp = g AND c.section = part.section AND c.consumer = me AND c.request = part.request AND c.places = part.chosen;
    IF FOUND THEN
      mine := mine || part.chosen;
    ELSE
      FOR claim IN claimed (part.section, part.request) LOOP
        rest := ARRAY(SELECT unnest(claim.places) EXCEPT SELECT unnest(part.chosen) ORDER BY 1);
        mine := mine || ARRAY(SELECT unnest(claim.places) EXCEPT SELECT unnest(rest));
        IF rest = '{}' THEN DELETE FROM claims WHERE CURRENT OF claimed;
        ELSE UPDATE claims SET places = rest WHERE CURRENT OF claimed; END IF;
      END LOOP;
    END IF;
  END LOOP;
  IF reasons IS NOT NULL THEN
    INSERT INTO quarantine (queue, grp, reason, id, key, payload, metadata, published_at)
    SELECT queues.name, groups.name, s.reason, m.id, m.key, m.payload, m.metadata, m.published_at
    FROM unnest(places, reasons) s(place, reason), queues, groups, messages m
    WHERE s.reason IS NOT NULL AND s.place = ANY (mine) AND queues.id = q AND groups.id = g AND m.queue = q AND m.place = s.place;
  END IF;
  IF attempts IS NOT NULL THEN
    INSERT INTO requeued SELECT g, s.place, s.attempt, clock_timestamp() + nullif(s.delay, 0) * interval '1 ms'
    FROM unnest(places, attempts, delays) s(place, attempt, delay) WHERE s.attempt > 0 AND s.place = ANY (mine);
    IF FOUND THEN PERFORM wake(q, me); END IF;
  END IF;
  DELETE FROM messages m WHERE m.queue = q AND m.place = ANY (mine) AND (alone OR NOT is_needed(m, g, false))
    AND (attempts IS NULL OR attempts[array_position(places, m.place)] <= 0);
  IF cardinality(places) = cardinality(mine) THEN RETURN NULL; END IF;
  RETURN ARRAY(SELECT unnest(places) EXCEPT SELECT unnest(mine));
END $$;

-- Requeues what consumers have in flight, except `kept`.
CREATE FUNCTION release(g integer, members bigint[], kept bigint[], counts boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  held CURSOR FOR SELECT * FROM claims WHERE grp = g AND consumer = ANY (members) ORDER BY section, consumer, request, attempt FOR UPDATE;
  rest bigint[];
BEGIN
  FOR claim IN held LOOP
    rest := ARRAY(SELECT unnest(claim.places) INTERSECT SELECT unnest(kept) ORDER BY 1);
    IF rest = '{}' THEN DELETE FROM claims WHERE CURRENT OF held;
    ELSIF rest <> claim.places THEN UPDATE claims SET places = rest WHERE CURRENT OF held; END IF;
    INSERT INTO requeued SELECT g, lost, claim.attempt + counts::integer
    FROM (SELECT unnest(claim.places) EXCEPT SELECT unnest(rest)) others(lost);
  END LOOP;
END $$;

-- Requeues the messages of consumers, and removes the consumers.
CREATE FUNCTION leave(members bigint[], counts boolean) RETURNS void
LANGUAGE plpgsql SETTINGS AS $$
DECLARE
  g integer;
BEGIN
  -- A claim that runs meanwhile would leave messages to a consumer that is gone.
  PERFORM FROM groups WHERE id IN (SELECT grp FROM consumers WHERE id = ANY (members)) ORDER BY id FOR UPDATE;
  FOR g IN DELETE FROM consumers WHERE id = ANY (members) RETURNING grp LOOP
    PERFORM release(g, members, '{}', counts);
    PERFORM wake(queue) FROM groups WHERE id = g;
  END LOOP;
END $$;

-- Settles deliveries, renews the lease of a consumer, and claims messages for it. `held`: the
-- places that it has in flight. If given, its lease is renewed and other messages that it seems to
-- have are requeued: a reply was lost. Returns messages, and a last row without a message.
CREATE FUNCTION exchange(
  queue_name text, group_name text, me bigint, request bigint, lease double precision, held bigint[],
  places bigint[], requests bigint[], attempts integer[], delays double precision[], reasons text[],
  demand integer, reclaims boolean, listens boolean, since double precision
) RETURNS TABLE (place text, attempt integer, id text, key text, payload text, metadata text, published_at double precision, uncounted text, wait double precision)
LANGUAGE plpgsql SETTINGS AS $$
#variable_conflict use_column
DECLARE
  q integer;
  g integer;
  at timestamptz;
  oldest timestamptz;
  seen record;
  want integer := demand;
  got integer;
BEGIN
  SELECT groups.queue, groups.id INTO q, g FROM groups JOIN queues ON queues.id = groups.queue
  WHERE queues.name = queue_name AND groups.name = group_name;
  IF NOT FOUND THEN RAISE 'The queue or the group does not exist' USING ERRCODE = 'SLQ01'; END IF;
  -- A claim that a crash of the server undoes is made again. Other consumers need not wait for the disk.
  IF places IS NULL THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  IF places IS NOT NULL THEN uncounted := settle(q, g, me, places, requests, attempts, delays, reasons)::text; END IF;
  IF held IS NOT NULL OR demand > 0 THEN
    -- One claim of a group at a time.
    PERFORM FROM groups WHERE groups.id = g FOR UPDATE;
    IF NOT FOUND THEN RAISE 'The group was deleted' USING ERRCODE = 'SLQ01'; END IF;
    at := clock_timestamp();
    oldest := at - since * interval '1 ms';
    -- One statement for what is rare: each statement costs some time.
    SELECT c.idle, c.id IS NULL AS is_new, coalesce(c.request > exchange.request, false) AS is_late, read_up_to(g) AS place,
      reclaims AND at > pg_postmaster_start_time() + lease * interval '0.5 ms' AND EXISTS (
        SELECT FROM consumers o WHERE o.grp = g AND o.expires < at AND o.id <> me) AS has_expired,
      EXISTS (SELECT FROM unplaced u WHERE u.queue = q AND u.due <= at AND u.due > oldest) AS has_due,
      EXISTS (SELECT FROM requeued r WHERE r.grp = g AND r.due <= at) AS has_delayed,
      EXISTS (SELECT FROM requeued r WHERE r.grp = g AND r.due IS NULL) AS has_requeued
    INTO seen FROM (SELECT) one LEFT JOIN consumers c ON c.id = me;
    IF seen.is_late THEN
      -- The consumer has given it up, and told in a later request what it has in flight.
      demand := 0;
    ELSIF held IS NOT NULL OR seen.is_new THEN
      INSERT INTO consumers VALUES (me, g, at + lease * interval '1 ms', false, exchange.request)
      ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, request = excluded.request;
      IF held IS NOT NULL THEN PERFORM release(g, ARRAY[me], held, false); END IF;
    END IF;
  END IF;
  IF demand > 0 THEN
    IF seen.has_expired THEN
      PERFORM leave(array_agg(c.id), true) FROM consumers c WHERE c.grp = g AND c.expires < at AND c.id <> me HAVING count(*) > 0;
    END IF;
    IF seen.has_due THEN PERFORM place_due(q, oldest); END IF;
    IF seen.has_delayed THEN UPDATE requeued SET due = NULL WHERE grp = g AND due <= at; END IF;
    IF seen.has_requeued OR seen.has_delayed OR seen.has_expired OR held IS NOT NULL THEN
      RETURN QUERY
        WITH again AS (
          DELETE FROM requeued r WHERE r.grp = g AND r.place = ANY (ARRAY(
            SELECT n.place FROM requeued n WHERE n.grp = g AND n.due IS NULL ORDER BY n.place LIMIT want))
          RETURNING r.place, r.attempt),
        taken AS (
          INSERT INTO claims SELECT g, a.place >> 12, me, exchange.request, a.attempt, array_agg(a.place ORDER BY a.place) FROM again a GROUP BY 2, 5)
        SELECT m.place::text, again.attempt, m.id, m.key, m.payload, m.metadata, m.published_at, NULL, NULL::double precision
        FROM again JOIN messages m ON m.queue = q AND m.place = again.place AND m.place = ANY (ARRAY(SELECT a.place FROM again a))
        ORDER BY m.place;
      GET DIAGNOSTICS got = ROW_COUNT;
      want := want - got;
    END IF;
    IF want > 0 THEN
      RETURN QUERY
        WITH fresh AS MATERIALIZED (
          SELECT m.* FROM messages m
          WHERE m.queue = q AND m.place > seen.place AND wants(m.addressee, m.skipped, g) ORDER BY m.place LIMIT want),
        taken AS (
          INSERT INTO claims AS c SELECT g, f.place >> 12, me, exchange.request, 1, array_agg(f.place ORDER BY f.place) FROM fresh f GROUP BY 2
          ON CONFLICT (grp, section, consumer, request, attempt) DO UPDATE SET places = c.places || excluded.places),
        -- With fewer messages than wanted, the rest is for other groups.
        moved AS (
          INSERT INTO cursors SELECT g, last.place FROM (SELECT CASE WHEN (SELECT count(*) FROM fresh) = want
            THEN (SELECT max(f.place) FROM fresh f)
            ELSE (SELECT max(m.place) FROM messages m WHERE m.queue = q AND m.place > seen.place) END) last(place)
          WHERE last.place IS NOT NULL RETURNING cursors.place),
        removed AS (DELETE FROM cursors c WHERE c.grp = g AND c.place = seen.place AND EXISTS (SELECT FROM moved))
        SELECT fresh.place::text, 1, fresh.id, fresh.key, fresh.payload, fresh.metadata, fresh.published_at, NULL, NULL::double precision
        FROM fresh ORDER BY fresh.place;
      GET DIAGNOSTICS got = ROW_COUNT;
      want := want - got;
    END IF;
    IF (listens AND want > 0) <> coalesce(seen.idle, false) THEN
      UPDATE consumers SET idle = listens AND want > 0 WHERE consumers.id = me;
    END IF;
    IF want > 0 THEN
      SELECT extract(epoch FROM min(next.moment) - clock_timestamp()) * 1000 INTO wait FROM (
        (SELECT due FROM unplaced WHERE queue = q AND due > at ORDER BY due LIMIT 1)
        UNION ALL (SELECT due FROM requeued WHERE grp = g AND due > at ORDER BY due LIMIT 1)
        UNION ALL SELECT min(expires) FROM consumers c WHERE c.grp = g AND c.id <> me) next(moment);
    END IF;
  END IF;
  place := NULL;
  RETURN NEXT;
END $$;
