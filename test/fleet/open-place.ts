import type { Ledger } from '../../src/ledger/ledger.ts'
import type { Place } from './orders.ts'

export async function openPlace(place: Place): Promise<Ledger> {
  switch (place.engine) {
    case 'sqlite': {
      const { SqliteLedger } = await import('../../src/ledger/sqlite/ledger.ts')
      return new SqliteLedger({ path: place.path, busyTimeout: 2000 })
    }
    case 'postgresql': {
      const { PostgresqlLedger } = await import('../../src/ledger/postgresql/ledger.ts')
      return PostgresqlLedger.open({ connectionString: place.connectionString, connections: 2 })
    }
    case 'dynamodb': {
      const { DynamoDBLedger } = await import('../../src/ledger/dynamodb/ledger.ts')
      return DynamoDBLedger.open({ tableName: place.tableName, endpoint: place.endpoint, region: 'us-east-1' })
    }
  }
}
