/** What to do with a ledger that does not add up, or cannot be read. */
export const DAMAGED =
  'The ledger is damaged. Stop what writes to it, keep its file, and see "marketplace-meter restore --help".'
