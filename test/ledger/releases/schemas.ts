import type { DatabaseSync } from 'node:sqlite'
import type pg from 'pg'

/** A database's tables as SQL, to be compared and to be made again. */

export function sqliteSchema(database: DatabaseSync): string {
  const rows = database
    .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name")
    .all()
  return rows.map(({ sql }) => `${sql};\n`).join('\n')
}

/** Without comments, which PostgreSQL does not keep. */
export async function postgresqlSchema(client: pg.Client, schema: string): Promise<string> {
  const { rows } = await client.query(TABLES, [schema])
  const text = rows.map(({ statement }) => `${statement};\n`).join('')
  return text.replaceAll(`${schema}.`, '')
}

const TABLES = `
WITH relation AS (
  SELECT pg_class.oid, relname, reloptions FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE nspname = $1 AND relkind = 'r'
), part AS (
  SELECT relname, format(E'  %I %s%s%s%s%s', attname, format_type(atttypid, atttypmod),
      CASE WHEN attcollation NOT IN (0, 100) THEN ' COLLATE "C"' END,
      CASE WHEN attnotnull THEN ' NOT NULL' END,
      ' DEFAULT ' || pg_get_expr(adbin, adrelid),
      CASE attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' END) AS text, attnum AS place
  FROM relation JOIN pg_attribute ON attrelid = relation.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT relname, format('  CONSTRAINT %I %s', conname, pg_get_constraintdef(pg_constraint.oid)),
    1000 + row_number() OVER (ORDER BY conname)
  FROM relation JOIN pg_constraint ON conrelid = relation.oid WHERE contype IN ('p', 'u', 'c', 'f')
)
SELECT 1 AS kind, relname AS name, format(E'CREATE TABLE %I (\\n%s\\n)%s', relname, string_agg(text, E',\\n' ORDER BY place),
  (SELECT ' WITH (' || array_to_string(reloptions, ', ') || ')' FROM relation AS one WHERE one.relname = part.relname)) AS statement
FROM part GROUP BY relname
UNION ALL
SELECT 2, relname || attname, format('ALTER TABLE %I ALTER %I SET STORAGE EXTERNAL', relname, attname)
FROM relation JOIN pg_attribute ON attrelid = relation.oid WHERE attnum > 0 AND attstorage = 'e'
UNION ALL
SELECT 3, indexname, indexdef FROM pg_indexes
WHERE schemaname = $1 AND indexname NOT IN (SELECT conname FROM pg_constraint JOIN relation ON conrelid = relation.oid)
ORDER BY kind, name`
