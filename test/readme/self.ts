import { registerHooks } from 'node:module'

// The package under its own name is its source here, so that what a user imports needs no build.
const ENTRIES: Record<string, string> = {
  'opentelemetry-exporter-aws-marketplace': '../../src/index.ts',
  'opentelemetry-exporter-aws-marketplace/agreements': '../../src/agreements/index.ts',
  'opentelemetry-exporter-aws-marketplace/http': '../../src/marketplace/index.ts',
  'opentelemetry-exporter-aws-marketplace/postgresql': '../../src/ledger/postgresql/index.ts',
  'opentelemetry-exporter-aws-marketplace/dynamodb': '../../src/ledger/dynamodb/index.ts',
  'opentelemetry-exporter-aws-marketplace/reconcile': '../../src/reconcile/index.ts',
  'opentelemetry-exporter-aws-marketplace/simulator': '../../src/simulator/index.ts',
}

registerHooks({
  resolve(specifier, context, nextResolve) {
    const entry = Object.hasOwn(ENTRIES, specifier) ? ENTRIES[specifier] : undefined
    return entry === undefined
      ? nextResolve(specifier, context)
      : { url: new URL(entry, import.meta.url).href, shortCircuit: true }
  },
})
