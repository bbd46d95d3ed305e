import type { BatchMeterUsageResult, MeteringClient } from '../../../src/marketplace/client.ts'

/** A client of AWS's wire with nothing around it: the AWS SDK takes longer to load than most processes here live. */
export function httpClient(url: string, region: string): MeteringClient {
  const scope = `SIMULATED/20260101/${region}/aws-marketplace/aws4_request`
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-target': 'AWSMPMeteringService.BatchMeterUsage',
    // The simulator reads who calls and where, and checks no signature.
    authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
  }
  return {
    endpoint: url,
    batchMeterUsage: async ({ ProductCode, UsageRecords }, { abortSignal } = {}) => {
      const body = JSON.stringify({
        ...(ProductCode !== undefined && { ProductCode }),
        UsageRecords: UsageRecords.map(record => ({ ...record, Timestamp: record.Timestamp.getTime() / 1000 })),
      })
      const response = await fetch(url, { method: 'POST', headers, body, signal: abortSignal ?? null })
      const answer = (await response.json()) as { __type?: string; message?: string }
      if (response.ok) return withDates(answer as BatchMeterUsageResult)
      throw Object.assign(new Error(answer.message), { name: answer.__type })
    },
  }
}

function withDates(result: BatchMeterUsageResult): BatchMeterUsageResult {
  for (const record of [...(result.Results ?? []).map(one => one.UsageRecord), ...(result.UnprocessedRecords ?? [])]) {
    if (record?.Timestamp !== undefined) record.Timestamp = new Date(Number(record.Timestamp) * 1000)
  }
  return result
}
