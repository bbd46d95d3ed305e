import { chdir } from 'node:process'

// Runs modules one after the other, each in the folder beside it that has its name.
for (const path of process.argv.slice(2)) {
  chdir(path.replace(/\.ts$/, ''))
  await import(path)
}
