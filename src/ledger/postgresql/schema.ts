/**
 * The PostgreSQL ledger's tables. Each entry brings the schema from one version to the next; never change one that has
 * been released, nor take away what the version before needs: while replicas are replaced, both are in use. What the
 * version before writes has to be right for this one, too; a column that it does not know needs a default that is so.
 *
 * Amounts are millionths of the base unit, as NUMERIC, which is exact at any length. Hours and instants are milliseconds
 * since the epoch, what is of counters microseconds. Text sorts by its bytes, so that it sorts alike everywhere. There
 * are no foreign keys: accounts, dimensions, series and lanes are never deleted, and to check each row of an hour's
 * closing would take half of its time.
 */
export const MIGRATIONS: readonly string[] = [
  `
CREATE TABLE ledger (
  id integer PRIMARY KEY CHECK (id = 1),
  version integer NOT NULL, -- of this schema
  closed_through bigint, -- the last hour that is closed
  deltas_forgotten_before bigint NOT NULL DEFAULT 0
);
INSERT INTO ledger (id, version) VALUES (1, 0);

-- Insert-only, so that no writer waits for another: a key for each batch, and what is in it until it is folded.
CREATE TABLE batch (
  writer uuid NOT NULL,
  sequence bigint NOT NULL,
  digest bytea NOT NULL,
  at bigint NOT NULL, -- the earliest hour in it
  PRIMARY KEY (writer, sequence)
);
CREATE INDEX batch_at ON batch (at);
CREATE TABLE journal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  writer uuid NOT NULL,
  sequence bigint NOT NULL,
  body bytea NOT NULL,
  in_status boolean NOT NULL -- whether it has what the status and the audit trail tell
);
-- What is in it is compressed already.
ALTER TABLE journal ALTER body SET STORAGE EXTERNAL;

CREATE TABLE dimension (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  unit text NOT NULL,
  base_unit text NOT NULL,
  size numeric NOT NULL,
  max_quantity integer
);

CREATE TABLE account (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text COLLATE "C" NOT NULL UNIQUE,
  kind text NOT NULL CHECK (kind IN ('customer', 'unattributed')),
  product text NOT NULL,
  account_id text,
  customer_identifier text,
  license_arn text,
  unattributed_reason text,
  evidence text,
  blocked_at bigint, -- when AWS first said that it is not subscribed
  probe_at bigint, -- when to see whether it is back
  probe_delay bigint NOT NULL DEFAULT 0,
  ended_at bigint -- when its agreement ended
);
CREATE INDEX account_unattributed ON account (id) WHERE kind = 'unattributed';

CREATE TABLE series (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account bigint NOT NULL,
  dimension integer NOT NULL,
  first_hour bigint NOT NULL,
  recorded numeric NOT NULL DEFAULT 0, -- of closed hours; open_usage and the journal have the rest
  metered numeric NOT NULL DEFAULT 0,
  balance numeric NOT NULL DEFAULT 0, -- of closed hours and not frozen
  approved integer NOT NULL DEFAULT 0, -- the quantity that a person let past the guard
  unfrozen boolean NOT NULL DEFAULT false, -- whether the balance may hold whole units without any new usage
  UNIQUE (account, dimension)
) WITH (fillfactor = 70);
CREATE INDEX series_unfrozen ON series (id) WHERE unfrozen;

CREATE TABLE open_usage (
  hour bigint NOT NULL,
  series bigint NOT NULL,
  amount numeric NOT NULL,
  PRIMARY KEY (hour, series)
) WITH (fillfactor = 70);

CREATE TABLE usage (
  hour bigint NOT NULL,
  series bigint NOT NULL,
  amount numeric NOT NULL,
  PRIMARY KEY (hour, series)
);

CREATE TABLE lane (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  product text COLLATE "C" NOT NULL,
  identity text NOT NULL CHECK (identity IN ('product-code', 'licence')),
  region text COLLATE "C" NOT NULL,
  UNIQUE (product, identity, region)
);

CREATE TABLE record (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the audit trail and late answers may name one that was pruned
  series bigint NOT NULL,
  hour bigint NOT NULL,
  timestamp bigint NOT NULL,
  deadline bigint NOT NULL,
  lane integer NOT NULL,
  quantity integer NOT NULL,
  size numeric NOT NULL,
  probe boolean NOT NULL DEFAULT false,
  state text NOT NULL CHECK (state IN ('pending', 'metered', 'held', 'returned')),
  reason text,
  attempts integer NOT NULL DEFAULT 0, -- counted before each is made
  refusals integer NOT NULL DEFAULT 0, -- attempts whose answer proves that they were not taken
  next_attempt_at bigint NOT NULL DEFAULT 0,
  claim uuid,
  claimed_until bigint NOT NULL DEFAULT 0,
  answer text,
  metering_record_id text,
  UNIQUE (series, hour)
) WITH (fillfactor = 70);
CREATE INDEX record_pending ON record (lane, deadline, id) WHERE state = 'pending';
CREATE INDEX record_held ON record (hour) WHERE state = 'held';
-- With the series: of an hour that statistics do not know yet, the planner would go through all to find one.
CREATE INDEX record_hour ON record (hour, series);

CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  who text NOT NULL,
  why text NOT NULL,
  action text NOT NULL,
  series bigint,
  record bigint,
  amount numeric,
  detail text
);

CREATE TABLE operation ( -- what a transaction came to, for whoever lost the answer to its commit
  id uuid PRIMARY KEY,
  result jsonb,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operation_at ON operation (at);

CREATE TABLE counter ( -- of those that others keep
  key uuid PRIMARY KEY,
  state text NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE delta ( -- by time, since they come and go in that order
  time bigint NOT NULL,
  counter uuid NOT NULL,
  start bigint NOT NULL,
  value numeric NOT NULL,
  PRIMARY KEY (time, counter, start)
);

CREATE TABLE late_delta ( -- that came when its like were forgotten
  counter uuid NOT NULL,
  start bigint NOT NULL,
  time bigint NOT NULL,
  value numeric NOT NULL,
  PRIMARY KEY (counter, start, time)
);

CREATE TABLE not_counted (
  verdict text PRIMARY KEY,
  points bigint NOT NULL
);

CREATE TABLE product (
  name text COLLATE "C" PRIMARY KEY,
  metered_since bigint NOT NULL
);

CREATE TABLE quota (
  region text COLLATE "C" PRIMARY KEY,
  next_turn double precision NOT NULL
);
`,
  `
-- First, so that nobody keeps the books meanwhile.
ALTER TABLE ledger ADD COLUMN restored_at bigint NOT NULL DEFAULT 0; -- in milliseconds

-- What the first schema knew of counters: how those that it had go on.
ALTER TABLE counter RENAME TO legacy_counter;
ALTER INDEX counter_pkey RENAME TO legacy_counter_pkey;

CREATE TABLE counter ( -- of those that others keep
  key uuid PRIMARY KEY,
  state text NOT NULL,
  dimension integer NOT NULL,
  wake_at bigint NOT NULL DEFAULT 0, -- when what waits is decided at the latest, in milliseconds; 0 when nothing waits
  waiting numeric NOT NULL DEFAULT 0 -- how much that is
) WITH (fillfactor = 70);
CREATE INDEX counter_waiting ON counter (wake_at, key) WHERE wake_at > 0;

CREATE TABLE stream ( -- a resource's or target's metric
  key uuid PRIMARY KEY,
  state text NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE shared_start ( -- in whole seconds, which may be a Collector's
  start bigint PRIMARY KEY,
  targets text NOT NULL
);

CREATE TABLE metered ( -- since when a metric is metered as a product's dimension; by the first schema, any metric
  product text COLLATE "C" NOT NULL,
  dimension text COLLATE "C" NOT NULL,
  metric text COLLATE "C" NOT NULL,
  since bigint NOT NULL, -- in milliseconds
  PRIMARY KEY (product, dimension, metric)
);
INSERT INTO metered SELECT product.name, dimension.name, '', metered_since FROM product, dimension;
DROP TABLE product;

-- What a restore holds has a reason of its own: it was told as in doubt.
UPDATE record SET reason = 'restored'
WHERE state = 'held' AND reason = 'in-doubt' AND lane IN (SELECT id FROM lane WHERE region = 'restored');
`,
  `
-- First, so that nobody keeps the books meanwhile.
LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE;

-- The audit trail is a chain, and says itself whom and what it is about; series is of the version before. See rules/audit.
ALTER TABLE audit
  ADD COLUMN number bigint, -- in the chain
  ADD COLUMN written_at bigint, -- by the server's clock, whatever was said
  ADD COLUMN os_user text,
  ADD COLUMN account jsonb,
  ADD COLUMN dimension text COLLATE "C",
  ADD COLUMN hash text;
UPDATE audit SET
  account = (
    SELECT jsonb_strip_nulls(jsonb_build_object(
      'kind', kind, 'key', key, 'product', product, 'accountId', account_id, 'customerIdentifier', customer_identifier,
      'licenseArn', license_arn, 'reason', unattributed_reason, 'evidence', evidence))
    FROM series JOIN account ON account.id = series.account WHERE series.id = audit.series
  ),
  dimension = (
    SELECT name FROM series JOIN dimension ON dimension.id = series.dimension WHERE series.id = audit.series
  );
CREATE INDEX audit_action ON audit (action, id);
-- What a sender has fed is said once.
CREATE UNIQUE INDEX audit_fed ON audit (who, (account ->> 'key')) WHERE action = 'fed';

CREATE TABLE audit_chain ( -- its lock lets only one transaction at a time write to the trail; it is taken last
  id integer PRIMARY KEY CHECK (id = 1),
  entries bigint NOT NULL DEFAULT 0,
  hash text, -- of the last; none until the first entry of a ledger that had some before there was a chain
  hash_before text, -- of those before the chain
  id_before bigint -- the last of those
);
INSERT INTO audit_chain (id) VALUES (1);
UPDATE audit_chain SET hash = repeat('0', 64), hash_before = repeat('0', 64), id_before = 0
WHERE NOT EXISTS (SELECT FROM audit);
-- How far silent counters are forgotten.
ALTER TABLE ledger ADD COLUMN silent_before bigint NOT NULL DEFAULT 0; -- in microseconds
ALTER TABLE ledger ADD COLUMN forgot_at bigint NOT NULL DEFAULT 0; -- in milliseconds
`,
  `
LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE;

-- What AWS, or the way to it, has answered last.
ALTER TABLE lane ADD COLUMN answer text, ADD COLUMN answered_at bigint; -- in milliseconds
`,
  `
LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE;

-- What is known of a customer's agreement, as JSON; ended_at is of the version before. See rules/agreement.
ALTER TABLE account ADD COLUMN agreement text;
UPDATE account SET agreement = json_build_object('marks', json_build_array(json_build_array(ended_at, 'ended')))
WHERE ended_at IS NOT NULL;
CREATE INDEX account_agreement ON account (id) WHERE agreement IS NOT NULL;
CREATE INDEX account_tenant ON account ((agreement::jsonb ->> 'tenant')) WHERE agreement IS NOT NULL;
-- An AWS account's other identity.
CREATE INDEX account_licensed ON account (account_id) WHERE license_arn IS NOT NULL;
CREATE INDEX account_unlicensed ON account (account_id) WHERE license_arn IS NULL;
`,
  `
LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE;

-- Apart from "version", which is the oldest that may go on from here: the version before reads it as that of the schema.
ALTER TABLE ledger ADD COLUMN schema_version integer;

-- By the server's defaults, a fifth of a table is dead before anybody clears it away: of a year's records that is months.
-- What is emptied each hour is cleared by number, since its size when it is looked at says nothing.
ALTER TABLE record SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01,
  autovacuum_analyze_scale_factor = 0.01);
ALTER TABLE usage SET (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.01);
ALTER TABLE series SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE open_usage SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE journal SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000);
ALTER TABLE batch SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE operation SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
`,
  `
LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE;

-- What contracts include. See rules/entitlements.
CREATE TABLE included ( -- of which dimensions of a product they do
  product text COLLATE "C" NOT NULL,
  dimension integer NOT NULL REFERENCES dimension,
  terms text NOT NULL, -- as JSON
  since bigint NOT NULL, -- in milliseconds, as known_until
  known_until bigint, -- up to when it is known what AWS's entitlements are
  PRIMARY KEY (product, dimension)
);
CREATE TABLE drawn ( -- what an hour's closing found included
  hour bigint NOT NULL,
  series bigint NOT NULL,
  amount numeric NOT NULL,
  PRIMARY KEY (hour, series)
);
ALTER TABLE series ADD COLUMN included numeric NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN entitlements text; -- as JSON

-- What of usage is for which tags. See rules/allocations.
CREATE TABLE share ( -- of closed hours, and not frozen
  series bigint NOT NULL,
  tags text COLLATE "C" NOT NULL, -- as JSON
  balance numeric NOT NULL,
  PRIMARY KEY (series, tags)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE TABLE open_share (
  hour bigint NOT NULL,
  series bigint NOT NULL,
  tags text COLLATE "C" NOT NULL,
  amount numeric NOT NULL,
  PRIMARY KEY (hour, series, tags)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE record ADD COLUMN allocations text; -- as JSON
`,
]

/** The oldest version whose code may use the present tables: replicas that have it go on until they are replaced. */
export const OLDEST_COMPATIBLE = 5
