import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import zlib from 'node:zlib'
import { MarketplaceMeteringError } from '../../errors.ts'
import { UndecodableError } from '../../gateway/otlp/errors.ts'
import { decodeJson } from '../../gateway/otlp/json.ts'
import type { OtlpRequest } from '../../gateway/otlp/metrics.ts'
import { decodeProtobuf } from '../../gateway/otlp/protobuf.ts'

/** A captured payload cannot be read. */
export class PayloadError extends MarketplaceMeteringError {
  readonly code = 'ERR_PAYLOAD'
}

/**
 * Reads captured requests from a file, or from standard input where it is `-`: one in JSON or protobuf, or one in JSON
 * on each line, as the Collector's file exporter writes them; packed with gzip or zstd or not at all.
 */
export async function readPayload(file: string): Promise<OtlpRequest[]> {
  const name = file === '-' ? 'standard input' : file
  const bytes = unpacked(name, await bytesOf(name, file))
  if (bytes.length === 0) throw new PayloadError(`Expected an ExportMetricsServiceRequest, and ${name} is empty.`)
  // In protobuf no request begins so: its only field begins with 0x0a.
  if (bytes[0] !== '{'.charCodeAt(0)) return [decoded(name, () => decodeProtobuf(bytes, () => true))]
  const text = bytes.toString('utf8')
  const lines = [...text.split('\n').entries()].filter(([, line]) => line.trim() !== '')
  const isLines = lines.every(([, line]) => /^\s*\{.*\}\s*$/.test(line))
  if (!isLines) return [decoded(name, () => decodeJson(text, () => true))]
  return lines.map(([index, line]) => decoded(`${name}, line ${index + 1}`, () => decodeJson(line, () => true)))
}

async function bytesOf(name: string, file: string): Promise<Buffer> {
  try {
    return await (file === '-' ? buffer(process.stdin) : readFile(file))
  } catch (error) {
    throw new PayloadError(`Cannot read ${name}: ${(error as Error).message}.`, { cause: error })
  }
}

function unpacked(name: string, bytes: Buffer): Buffer {
  const magic = bytes.toString('hex', 0, 4)
  try {
    if (magic.startsWith('1f8b')) return zlib.gunzipSync(bytes)
    return magic === '28b52ffd' ? zlib.zstdDecompressSync(bytes) : bytes
  } catch (error) {
    throw new PayloadError(`Cannot unpack ${name}: ${(error as Error).message}.`, { cause: error })
  }
}

function decoded(name: string, decode: () => OtlpRequest): OtlpRequest {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof UndecodableError)) throw error
    throw new PayloadError(`${name}: ${error.message}`, { cause: error })
  }
}
