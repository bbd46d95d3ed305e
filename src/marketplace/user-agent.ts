/**
 * What our clients add to the header `User-Agent`, which CloudTrail writes down. It tells a call of a client that makes
 * one attempt: of those of others nobody knows how many calls an attempt has made.
 */
export const USER_AGENT = 'opentelemetry-exporter-aws-marketplace'
