-- Roles for a ledger on PostgreSQL: each process gets what it does, and nobody can change the audit trail.
--
-- Run it as the owner of the schema, once the tables are there (an administrator runs what
-- PostgresqlLedger.migration() returns), and again after each migration: new tables need their grants.
-- Then give each login one of them: GRANT marketplace_send TO gateway;
--
-- What it cannot do: a settlement by AWS's answer and one by a person change the same rows, so that the role that sends
-- could also decide. Its entries in the audit trail stay, and say the system's user beside what was said.

DO $$
DECLARE role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['marketplace_append', 'marketplace_send', 'marketplace_decide', 'marketplace_read'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', role); END IF;
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA marketplace_ledger
  TO marketplace_append, marketplace_send, marketplace_decide, marketplace_read;

-- Only records: it can bring usage in, and read none of it. The dimensions are registered by who sends.
GRANT SELECT ON marketplace_ledger.ledger, marketplace_ledger.dimension, marketplace_ledger.metered,
  marketplace_ledger.batch, marketplace_ledger.audit, marketplace_ledger.audit_chain, marketplace_ledger.operation,
  marketplace_ledger.included
  TO marketplace_append;
-- Usage with tags stops replicas of the version before, which would bill it without them.
GRANT UPDATE (version) ON marketplace_ledger.ledger TO marketplace_append;
GRANT SELECT (sequence) ON marketplace_ledger.journal TO marketplace_append;
GRANT INSERT ON marketplace_ledger.batch, marketplace_ledger.journal, marketplace_ledger.audit,
  marketplace_ledger.operation
  TO marketplace_append;
GRANT UPDATE ON marketplace_ledger.audit_chain, marketplace_ledger.operation TO marketplace_append;

-- Sends: exporters and gateways with a metering cycle, which record, too.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA marketplace_ledger TO marketplace_send;

-- Decides: operators with the commands. It brings no usage in and takes no turns of AWS's quota.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA marketplace_ledger TO marketplace_decide;
REVOKE INSERT, UPDATE ON marketplace_ledger.batch, marketplace_ledger.journal, marketplace_ledger.quota
  FROM marketplace_decide;

-- The trail is added to, and the ledger's own rows stay.
REVOKE UPDATE, DELETE ON marketplace_ledger.audit FROM marketplace_send, marketplace_decide;
REVOKE INSERT, DELETE ON marketplace_ledger.audit_chain, marketplace_ledger.ledger
  FROM marketplace_send, marketplace_decide;

-- Reads. What waits in the journal is in no report before it is folded, which this role may not do. So "statement" and
-- "verify" are refused while any usage waits, until who sends has folded it when the next hour is closed; "status" and,
-- of all actions, "audit" only while counters of others or usage without a customer wait, which a gateway folds each time
-- it looks at the status. "records", "held", "senders" and "audit" of what people did need no fold.
GRANT SELECT ON ALL TABLES IN SCHEMA marketplace_ledger TO marketplace_read;
