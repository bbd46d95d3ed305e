/**
 * Whom an address counts as: an IPv4 address is one host however it is written, and of IPv6 a host has a whole /64 to
 * itself (RFC 6177).
 */
export function hostOf(address = ''): string {
  if (!address.includes(':')) return address
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [left = [], right = []] = address.split('::').map(half => half.split(':').filter(group => group !== ''))
  const groups = [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right]
  return groups.slice(0, 4).join(':')
}
