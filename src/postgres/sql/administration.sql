-- Counts the messages of a group.
CREATE FUNCTION count_group(g integer, q integer, OUT ready double precision, OUT unfinished double precision)
LANGUAGE sql STABLE AS $$
  SELECT coalesce(sum(n) FILTER (WHERE is_ready), 0), coalesce(sum(n), 0) FROM (
    SELECT count(*) AS n, true AS is_ready FROM messages m
    WHERE m.queue = q AND m.place > read_up_to(g) AND wants(m.addressee, m.skipped, g)
    UNION ALL SELECT count(*), coalesce(due <= clock_timestamp(), true) FROM requeued WHERE grp = g GROUP BY 2
    UNION ALL SELECT sum(cardinality(places)), false FROM claims WHERE grp = g
    UNION ALL SELECT count(*), u.due <= clock_timestamp() FROM unplaced u WHERE queue = q AND wants(addressee, skipped, g) GROUP BY 2) counts
$$;

-- Counts the messages of a group, or those of all groups, where a message counts once.
CREATE FUNCTION count_messages(queue_name text, group_name text, OUT ready double precision, OUT unfinished double precision)
LANGUAGE plpgsql STABLE SETTINGS AS $$
DECLARE
  q integer := (SELECT id FROM queues WHERE name = queue_name);
  members integer[] := ARRAY(SELECT id FROM groups WHERE queue = q AND name = coalesce(group_name, name));
  lowest bigint := (SELECT min(read_up_to(id)) FROM groups WHERE queue = q);
BEGIN
  IF cardinality(members) = 1 THEN
    SELECT * INTO ready, unfinished FROM count_group(members[1], q);
  ELSE
    SELECT count(*) FILTER (WHERE is_unread OR is_needed(m, NULL, true)), count(*) FILTER (WHERE is_unread OR is_needed(m, NULL, false))
    INTO ready, unfinished
    FROM (SELECT m, m.place > lowest AND m.addressee IS NULL AND m.skipped IS NULL AS is_unread FROM messages m WHERE m.queue = q) s(m, is_unread);
    SELECT ready + count(*) FILTER (WHERE due <= clock_timestamp()), unfinished + count(*) INTO ready, unfinished
    FROM unplaced WHERE queue = q;
  END IF;
END $$;

CREATE FUNCTION list_groups(queue_name text)
RETURNS TABLE (name text, ready double precision, unfinished double precision, consumers double precision)
LANGUAGE sql STABLE SETTINGS AS $$
  SELECT g.name, c.ready, c.unfinished,
    (SELECT count(*) FROM consumers m WHERE m.grp = g.id AND m.expires > clock_timestamp())
  FROM groups g JOIN queues ON queues.id = g.queue CROSS JOIN count_group(g.id, g.queue) c
  WHERE queues.name = queue_name ORDER BY g.id
$$;

-- Shows waiting messages in order, then delayed ones. `due` is in milliseconds since the epoch.
CREATE FUNCTION peek(queue_name text, group_name text, most integer)
RETURNS TABLE (id text, key text, payload text, metadata text, published_at double precision, attempt integer, due double precision)
LANGUAGE sql STABLE SETTINGS AS $$
  WITH g AS (
    SELECT g.id, g.queue FROM groups g JOIN queues ON queues.id = g.queue WHERE queues.name = queue_name AND g.name = group_name),
  found AS (
    (SELECT m.id, m.key, m.payload, m.metadata, m.published_at, 1 AS attempt, NULL::timestamptz AS due, m.place, 0 AS number
     FROM g JOIN messages m ON m.queue = g.queue AND m.place > read_up_to(g.id) AND wants(m.addressee, m.skipped, g.id)
     ORDER BY m.place LIMIT most)
    UNION ALL
    (SELECT m.id, m.key, m.payload, m.metadata, m.published_at, r.attempt, r.due, m.place, 0
     FROM g JOIN requeued r ON r.grp = g.id JOIN messages m ON m.queue = g.queue AND m.place = r.place
     ORDER BY nullif(r.due, least(r.due, clock_timestamp())) NULLS FIRST, r.place LIMIT most)
    UNION ALL
    (SELECT u.id, u.key, u.payload, u.metadata, u.published_at, 1, u.due, NULL, u.number
     FROM g JOIN unplaced u ON u.queue = g.queue AND wants(u.addressee, u.skipped, g.id) ORDER BY u.due, u.number LIMIT most))
  SELECT id, key, payload, metadata, published_at, attempt, extract(epoch FROM later)::double precision * 1000
  FROM (SELECT *, CASE WHEN due > clock_timestamp() THEN due END AS later FROM found) f
  ORDER BY later NULLS FIRST, place NULLS LAST, due, number LIMIT most
$$;

-- Removes messages that no group needs any more. A group that settles a message while another one
-- purges it may leave it.
CREATE FUNCTION sweep(queue_name text) RETURNS void
LANGUAGE plpgsql SETTINGS AS $$
DECLARE
  q integer := (SELECT id FROM queues WHERE name = queue_name);
BEGIN
  DELETE FROM messages m WHERE m.queue = q AND NOT is_needed(m, NULL, false)
    AND m.place <= (SELECT coalesce(max(read_up_to(id)), m.place) FROM groups WHERE queue = q);
  DELETE FROM ids WHERE expires < clock_timestamp();
  DELETE FROM batches WHERE expires < clock_timestamp();
END $$;

-- Removes the waiting and the delayed messages of a group, or of all groups. Returns how many.
CREATE FUNCTION purge(queue_name text, group_name text) RETURNS double precision
LANGUAGE plpgsql SETTINGS AS $$
DECLARE
  q integer := (SELECT id FROM queues WHERE name = queue_name);
  members integer[] := ARRAY(SELECT id FROM groups WHERE queue = q AND name = coalesce(group_name, name));
  removed double precision;
  delayed double precision;
BEGIN
  -- Nobody claims or publishes meanwhile.
  PERFORM FROM groups WHERE id = ANY (members) ORDER BY id FOR UPDATE;
  PERFORM FROM queues WHERE id = q FOR UPDATE;
  WITH gone AS (
    UPDATE unplaced u SET skipped = coalesce(skipped, '{}') || members
    WHERE queue = q AND EXISTS (SELECT FROM unnest(members) g WHERE wants(u.addressee, u.skipped, g)) RETURNING 1)
  SELECT count(*) INTO delayed FROM gone;
  DELETE FROM unplaced u WHERE queue = q
    AND NOT EXISTS (SELECT FROM groups g WHERE g.queue = q AND wants(u.addressee, u.skipped, g.id));
  SELECT count(*) INTO removed FROM (
    SELECT m.place FROM unnest(members) g JOIN messages m ON m.queue = q AND m.place > read_up_to(g) AND wants(m.addressee, m.skipped, g)
    UNION SELECT place FROM requeued WHERE grp = ANY (members)) waiting;
  DELETE FROM requeued WHERE grp = ANY (members);
  WITH last AS (SELECT g, max(place) AS place FROM messages, unnest(members) g WHERE queue = q GROUP BY g HAVING max(place) > read_up_to(g)),
  moved AS (INSERT INTO cursors SELECT g, last.place FROM last)
  DELETE FROM cursors c USING last WHERE c.grp = last.g;
  DELETE FROM messages m WHERE m.queue = q AND NOT is_needed(m, NULL, false);
  RETURN removed + delayed;
END $$;

CREATE FUNCTION delete_group(queue_name text, group_name text) RETURNS boolean
LANGUAGE plpgsql SETTINGS AS $$
DECLARE
  q integer := (SELECT id FROM queues WHERE name = queue_name);
  g integer;
BEGIN
  DELETE FROM groups WHERE queue = q AND name = group_name RETURNING id INTO g;
  IF NOT FOUND THEN RETURN false; END IF;
  DELETE FROM claims WHERE grp = g;
  DELETE FROM requeued WHERE grp = g;
  DELETE FROM cursors WHERE grp = g;
  DELETE FROM consumers WHERE grp = g;
  DELETE FROM unplaced WHERE queue = q AND addressee = g;
  DELETE FROM messages m WHERE m.queue = q AND NOT is_needed(m, NULL, false);
  RETURN true;
END $$;

-- Deletes a queue with everything that belongs to it. `publisher`: of the caller. What other publishers
-- have sent last does not name the queue, and expires.
CREATE FUNCTION delete_queue(queue_name text, publisher text) RETURNS boolean
LANGUAGE plpgsql SETTINGS AS $$
#variable_conflict use_column
DECLARE
  q integer := (SELECT id FROM queues WHERE name = queue_name);
  members integer[];
BEGIN
  DELETE FROM batches b WHERE b.publisher = delete_queue.publisher;
  DELETE FROM quarantine WHERE queue = queue_name;
  -- Nobody claims or publishes meanwhile, in the order of the other functions.
  PERFORM FROM groups WHERE queue = q ORDER BY id FOR UPDATE;
  PERFORM FROM queues WHERE id = q FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  WITH gone AS (DELETE FROM groups WHERE queue = q RETURNING id) SELECT array_agg(id) INTO members FROM gone;
  DELETE FROM queues WHERE id = q;
  DELETE FROM claims WHERE grp = ANY (members);
  DELETE FROM requeued WHERE grp = ANY (members);
  DELETE FROM cursors WHERE grp = ANY (members);
  DELETE FROM consumers WHERE grp = ANY (members);
  DELETE FROM unplaced WHERE queue = q;
  DELETE FROM messages WHERE queue = q;
  DELETE FROM ids WHERE queue = q;
  -- A consumer that settled until now may have moved a message there.
  DELETE FROM quarantine WHERE queue = queue_name;
  RETURN true;
END $$;
