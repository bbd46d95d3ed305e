/**
 * The SQLite ledger's tables. Each entry brings the schema from one version to the next; never change one that has
 * been released.
 *
 * Amounts are millionths of the base unit: in `usage` as two integers, since one integer of 64 bits ends at nine
 * terabytes and upserts add in SQL, and what is large in `large_usage`; there and elsewhere as decimal text, which only
 * our own code adds. In `open_usage` they are JSON.
 */
export const MIGRATIONS: readonly string[] = [
  `
CREATE TABLE ledger (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  closed_through INTEGER -- the last hour that is closed
) STRICT;
INSERT INTO ledger (id) VALUES (1);

CREATE TABLE dimension (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  unit TEXT NOT NULL,
  base_unit TEXT NOT NULL,
  size TEXT NOT NULL,
  max_quantity INTEGER
) STRICT;

CREATE TABLE account (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('customer', 'unattributed')),
  product TEXT NOT NULL,
  account_id TEXT,
  customer_identifier TEXT,
  license_arn TEXT,
  unattributed_reason TEXT,
  evidence TEXT,
  blocked_at INTEGER, -- when AWS first said that it is not subscribed
  probe_at INTEGER, -- when to see whether it is back
  probe_delay INTEGER NOT NULL DEFAULT 0,
  ended_at INTEGER -- when its agreement ended
) STRICT;

CREATE TABLE series (
  id INTEGER PRIMARY KEY,
  account INTEGER NOT NULL REFERENCES account,
  dimension INTEGER NOT NULL REFERENCES dimension,
  first_hour INTEGER NOT NULL,
  recorded TEXT NOT NULL DEFAULT '0', -- of closed hours; open_usage has the rest
  metered TEXT NOT NULL DEFAULT '0',
  balance TEXT NOT NULL DEFAULT '0', -- of closed hours and not frozen; open_usage has the rest
  approved INTEGER NOT NULL DEFAULT 0, -- the quantity that a person let past the guard
  unfrozen INTEGER NOT NULL DEFAULT 0, -- whether the balance may hold whole units without any new usage
  UNIQUE (account, dimension)
) STRICT;
CREATE INDEX series_unfrozen ON series (id) WHERE unfrozen = 1;

CREATE TABLE open_usage (
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  millionths INTEGER NOT NULL,
  PRIMARY KEY (hour, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  millionths INTEGER NOT NULL,
  PRIMARY KEY (hour, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE lane (
  id INTEGER PRIMARY KEY,
  product TEXT NOT NULL,
  identity TEXT NOT NULL CHECK (identity IN ('product-code', 'licence')),
  region TEXT NOT NULL,
  UNIQUE (product, identity, region)
) STRICT;

CREATE TABLE record (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the audit trail and late answers may name one that was pruned
  series INTEGER NOT NULL REFERENCES series,
  hour INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  deadline INTEGER NOT NULL,
  lane INTEGER NOT NULL REFERENCES lane,
  quantity INTEGER NOT NULL,
  size TEXT NOT NULL,
  probe INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL CHECK (state IN ('pending', 'metered', 'held', 'returned')),
  reason TEXT,
  attempts INTEGER NOT NULL DEFAULT 0, -- counted before each is made
  refusals INTEGER NOT NULL DEFAULT 0, -- attempts whose answer proves that they were not taken
  next_attempt_at INTEGER NOT NULL DEFAULT 0,
  claim TEXT,
  claimed_until INTEGER NOT NULL DEFAULT 0,
  answer TEXT,
  metering_record_id TEXT,
  UNIQUE (series, hour)
) STRICT;
CREATE INDEX record_pending ON record (lane, deadline, id) WHERE state = 'pending';
CREATE INDEX record_held ON record (hour) WHERE state = 'held';
CREATE INDEX record_hour ON record (hour);

CREATE TABLE writer (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  last_sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE batch (
  writer INTEGER NOT NULL REFERENCES writer,
  sequence INTEGER NOT NULL,
  digest BLOB NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (writer, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_at ON batch (at);

CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  action TEXT NOT NULL,
  series INTEGER REFERENCES series,
  record INTEGER,
  amount TEXT,
  detail TEXT
) STRICT;
`,
  `
CREATE TABLE counter ( -- of those that others keep
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE counter_state (
  id INTEGER PRIMARY KEY,
  start INTEGER NOT NULL, -- in microseconds, as time
  mark INTEGER NOT NULL,
  time INTEGER NOT NULL,
  value INTEGER NOT NULL,
  more TEXT -- the whole state, where it is more than this
) STRICT;

CREATE TABLE delta ( -- by time, since they come and go in that order
  time INTEGER NOT NULL, -- in microseconds, as start
  counter BLOB NOT NULL,
  start INTEGER NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (time, counter, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE late_delta ( -- that came when its like were forgotten
  counter BLOB NOT NULL,
  start INTEGER NOT NULL,
  time INTEGER NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (counter, start, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE not_counted (
  verdict TEXT PRIMARY KEY,
  points INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE product (
  name TEXT PRIMARY KEY,
  metered_since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quota (
  region TEXT PRIMARY KEY,
  next_turn REAL NOT NULL -- in milliseconds since the epoch
) STRICT, WITHOUT ROWID;

ALTER TABLE ledger ADD COLUMN deltas_forgotten_before INTEGER NOT NULL DEFAULT 0; -- in microseconds
`,
  `
-- What the first schema knew of counters: how those that it had go on.
ALTER TABLE counter RENAME TO legacy_counter;
ALTER TABLE counter_state RENAME TO legacy_counter_state;

CREATE TABLE counter (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE counter_state (
  id INTEGER PRIMARY KEY,
  state TEXT NOT NULL,
  dimension INTEGER NOT NULL REFERENCES dimension,
  wake_at INTEGER NOT NULL, -- when what waits is decided at the latest, in milliseconds; 0 when nothing waits
  waiting TEXT -- how much that is
) STRICT;
CREATE INDEX counter_waiting ON counter_state (wake_at) WHERE wake_at > 0;

CREATE TABLE stream ( -- a resource's or target's metric
  key BLOB PRIMARY KEY,
  state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE shared_start ( -- in whole seconds, which may be a Collector's
  start INTEGER PRIMARY KEY, -- in microseconds
  targets TEXT NOT NULL
) STRICT;

CREATE TABLE metered ( -- since when a metric is metered as a product's dimension; by the first schema, any metric
  product TEXT NOT NULL,
  dimension TEXT NOT NULL,
  metric TEXT NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (product, dimension, metric)
) STRICT, WITHOUT ROWID;
INSERT INTO metered SELECT product.name, dimension.name, '', metered_since FROM product, dimension;
DROP TABLE product;

-- Values beyond 64 bits.
ALTER TABLE delta RENAME TO old_delta;
CREATE TABLE delta (
  time INTEGER NOT NULL, -- in microseconds, as start
  counter BLOB NOT NULL,
  start INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (time, counter, start)
) STRICT, WITHOUT ROWID;
INSERT INTO delta SELECT time, counter, start, CAST(value AS TEXT) FROM old_delta;
DROP TABLE old_delta;
ALTER TABLE late_delta RENAME TO old_delta;
CREATE TABLE late_delta (
  counter BLOB NOT NULL,
  start INTEGER NOT NULL,
  time INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (counter, start, time)
) STRICT, WITHOUT ROWID;
INSERT INTO late_delta SELECT counter, start, time, CAST(value AS TEXT) FROM old_delta;
DROP TABLE old_delta;

ALTER TABLE ledger ADD COLUMN restored_at INTEGER NOT NULL DEFAULT 0; -- in milliseconds

-- What a restore holds has a reason of its own: it was told as in doubt.
UPDATE record SET reason = 'restored'
WHERE state = 'held' AND reason = 'in-doubt' AND lane IN (SELECT id FROM lane WHERE region = 'restored');
`,
  `
-- Most counters only rise from one export to the next: that is written here, and their states are left as they are.
CREATE TABLE counter_mark ( -- since the state was written
  id INTEGER PRIMARY KEY,
  mark INTEGER NOT NULL,
  time INTEGER NOT NULL -- in microseconds
) STRICT;
`,
  `
-- The audit trail is a chain, and says itself whom and what it is about. See rules/audit.
ALTER TABLE audit RENAME TO old_audit;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  number INTEGER, -- in the chain
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  written_at INTEGER, -- by this machine's clock, whatever was said
  os_user TEXT,
  action TEXT NOT NULL,
  account TEXT, -- as JSON
  dimension TEXT,
  record INTEGER,
  amount TEXT,
  detail TEXT,
  hash TEXT
) STRICT;
INSERT INTO audit (id, at, who, why, action, account, dimension, record, amount, detail)
SELECT old_audit.id, at, who, why, action,
       CASE WHEN account.id IS NOT NULL THEN json_patch('{}', json_object(
         'kind', kind, 'key', key, 'product', product, 'accountId', account_id,
         'customerIdentifier', customer_identifier, 'licenseArn', license_arn,
         'reason', unattributed_reason, 'evidence', evidence)) END,
       dimension.name, record, amount, detail
FROM old_audit LEFT JOIN series ON series.id = old_audit.series LEFT JOIN account ON account.id = series.account
LEFT JOIN dimension ON dimension.id = series.dimension;
DROP TABLE old_audit;
CREATE INDEX audit_action ON audit (action, id);
-- What a sender has fed is said once.
CREATE UNIQUE INDEX audit_fed ON audit (who, account ->> 'key') WHERE action = 'fed';

CREATE TABLE audit_chain (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  entries INTEGER NOT NULL DEFAULT 0,
  hash TEXT, -- of the last; none until the first entry of a ledger that had some before there was a chain
  hash_before TEXT, -- of those before the chain
  id_before INTEGER -- the last of those
) STRICT;
INSERT INTO audit_chain (id) VALUES (1);
UPDATE audit_chain SET hash = printf('%064d', 0), hash_before = printf('%064d', 0), id_before = 0
WHERE NOT EXISTS (SELECT 1 FROM audit);
-- How far silent counters are forgotten.
ALTER TABLE ledger ADD COLUMN silent_before INTEGER NOT NULL DEFAULT 0; -- in microseconds
ALTER TABLE ledger ADD COLUMN forgot_at INTEGER NOT NULL DEFAULT 0; -- in milliseconds
`,
  `
-- Amounts so large that a few of them would be beyond an integer. See LARGE.
CREATE TABLE large_usage (
  open INTEGER NOT NULL CHECK (open IN (0, 1)), -- 1 as in open_usage, 0 as in usage
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  amount TEXT NOT NULL,
  PRIMARY KEY (open, hour, series)
) STRICT, WITHOUT ROWID;
-- What was written off is negative, and its millionths with it, beside which the usage of its hour is not.
INSERT INTO large_usage
WITH both (open, hour, series, whole, millionths) AS (
  SELECT 1, * FROM open_usage UNION ALL SELECT 0, * FROM usage
), alike AS (
  SELECT open, hour, series, whole - (whole > 0 AND millionths < 0) + (whole < 0 AND millionths > 0) AS whole,
         millionths + 1000000 * ((whole > 0 AND millionths < 0) - (whole < 0 AND millionths > 0)) AS millionths
  FROM both WHERE whole >= 1000000000000 OR whole <= -1000000000000
)
SELECT open, hour, series, whole || printf('%06d', abs(millionths)) FROM alike;
DELETE FROM open_usage WHERE whole >= 1000000000000 OR whole <= -1000000000000;
DELETE FROM usage WHERE whole >= 1000000000000 OR whole <= -1000000000000;
`,
  `
-- What AWS, or the way to it, has answered last.
ALTER TABLE lane ADD COLUMN answer TEXT;
ALTER TABLE lane ADD COLUMN answered_at INTEGER; -- in milliseconds
`,
  `
-- What is known of a customer's agreement, as JSON; ended_at is of the version before. See rules/agreement.
ALTER TABLE account ADD COLUMN agreement TEXT;
UPDATE account SET agreement = json_object('marks', json_array(json_array(ended_at, 'ended'))) WHERE ended_at IS NOT NULL;
CREATE INDEX account_agreement ON account (id) WHERE agreement IS NOT NULL;
CREATE INDEX account_tenant ON account (agreement ->> 'tenant') WHERE agreement IS NOT NULL;
-- An AWS account's other identity.
CREATE INDEX account_licensed ON account (account_id) WHERE license_arn IS NOT NULL;
CREATE INDEX account_unlicensed ON account (account_id) WHERE license_arn IS NULL;
`,
  `
-- What contracts include. See rules/entitlements.
CREATE TABLE included ( -- of which dimensions of a product they do
  product TEXT NOT NULL,
  dimension INTEGER NOT NULL REFERENCES dimension,
  terms TEXT NOT NULL, -- as JSON
  since INTEGER NOT NULL, -- in milliseconds, as known_until
  known_until INTEGER, -- up to when it is known what AWS's entitlements are
  PRIMARY KEY (product, dimension)
) STRICT, WITHOUT ROWID;
CREATE TABLE drawn ( -- what an hour's closing found included
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL REFERENCES series,
  amount TEXT NOT NULL,
  PRIMARY KEY (hour, series)
) STRICT, WITHOUT ROWID;
-- What of usage is for which tags. See rules/allocations.
CREATE TABLE share ( -- of closed hours, and not frozen
  series INTEGER NOT NULL REFERENCES series,
  tags TEXT NOT NULL, -- as JSON
  balance TEXT NOT NULL,
  PRIMARY KEY (series, tags)
) STRICT, WITHOUT ROWID;
CREATE TABLE open_share (
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  tags TEXT NOT NULL,
  amount TEXT NOT NULL,
  PRIMARY KEY (hour, series, tags)
) STRICT, WITHOUT ROWID;
ALTER TABLE record ADD COLUMN allocations TEXT; -- as JSON
ALTER TABLE series ADD COLUMN included TEXT NOT NULL DEFAULT '0';
ALTER TABLE account ADD COLUMN entitlements TEXT; -- as JSON
`,
  `
-- A row is found by one integer, and changed where it lies, in half the time that it takes by two.
CREATE TABLE open_usage_by_id (
  id INTEGER PRIMARY KEY, -- the hour's number since 1970, times 2^31, and the series
  hour INTEGER NOT NULL AS ((id >> 31) * 3600000) VIRTUAL,
  series INTEGER NOT NULL AS (id & 2147483647) VIRTUAL,
  whole INTEGER NOT NULL,
  millionths INTEGER NOT NULL
) STRICT;
INSERT INTO open_usage_by_id (id, whole, millionths)
SELECT (hour / 3600000 << 31) + series, whole, millionths FROM open_usage;
DROP TABLE open_usage;
ALTER TABLE open_usage_by_id RENAME TO open_usage;
CREATE INDEX open_usage_hour ON open_usage (hour, series);
`,
  `
-- What an export changes lies together: a row for each hour and 256 series. See open-usage.ts.
CREATE TABLE open_amount (
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  whole TEXT NOT NULL, -- as JSON: what no number holds is a text, of whole units that are to be added up
  millionths INTEGER NOT NULL,
  PRIMARY KEY (hour, series)
) STRICT, WITHOUT ROWID;
INSERT INTO open_amount
SELECT hour, series, iif(max(large), '"' || group_concat(whole, ' ') || '"', max(whole)), sum(millionths)
FROM (
  SELECT hour, series, whole NOT BETWEEN -9000000000000000 AND 9000000000000000 AS large, whole, millionths
  FROM open_usage
  UNION ALL SELECT hour, series, 1, substr(amount, 1, length(amount) - 6),
                   substr(amount, -6) * iif(amount LIKE '-%', -1, 1)
  FROM large_usage WHERE open = 1
)
GROUP BY hour, series;
DROP TABLE open_usage;
CREATE TABLE open_usage (
  hour INTEGER NOT NULL,
  row INTEGER NOT NULL, -- in the hour: its series divided by 256
  amounts TEXT NOT NULL -- as JSON: the place of a series among the 256, whole units, millionths, and so on
) STRICT;
CREATE UNIQUE INDEX open_usage_hour ON open_usage (hour, row);
INSERT INTO open_usage
SELECT hour, series >> 8 AS row,
       '[' || group_concat((series & 255) || ',' || whole || ',' || millionths, ',' ORDER BY series) || ']'
FROM open_amount GROUP BY hour, row;
DROP TABLE open_amount;

ALTER TABLE large_usage RENAME TO old_large_usage;
CREATE TABLE large_usage (
  hour INTEGER NOT NULL,
  series INTEGER NOT NULL,
  amount TEXT NOT NULL,
  PRIMARY KEY (hour, series)
) STRICT, WITHOUT ROWID;
INSERT INTO large_usage SELECT hour, series, amount FROM old_large_usage WHERE open = 0;
DROP TABLE old_large_usage;
`,
]
