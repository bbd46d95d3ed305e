/** What to do with a ledger that does not add up, or cannot be read. */
export const DAMAGED =
  'The ledger is damaged. Stop all that writes to it, keep it as it is, and see "marketplace-meter restore --help", or of a ' +
  'database "marketplace-meter declare-restored --help".'
