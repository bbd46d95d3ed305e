/** Who calls. In HTTP region and key are in the `Authorization` header. */
export interface Caller {
  region: string
  accessKeyId: string
  /** CloudTrail writes it down, and the user agent; neither changes an answer. */
  sourceIPAddress?: string
  userAgent?: string
}

/** Who calls, where a caller in this process does not say. */
export function callerOf({
  region = 'us-east-1',
  accessKeyId = 'SIMULATED',
  sourceIPAddress = '127.0.0.1',
  userAgent = 'in-process',
}: Partial<Caller> = {}): Required<Caller> {
  return { region, accessKeyId, sourceIPAddress, userAgent }
}
