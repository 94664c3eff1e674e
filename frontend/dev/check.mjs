// Makes the types of the API from the server's own description, then checks all types.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('..', import.meta.url))
const own = `${here}../.venv/bin/python`
const python = process.env.VEZHA_PYTHON ?? (existsSync(own) ? own : 'python3')

function run(command, args) {
  const done = spawnSync(command, args, { cwd: here, stdio: 'inherit' })
  if (done.error) console.error(`${command}: ${done.error.message}`)
  if (done.status !== 0) process.exit(done.status ?? 1)
}

run(python, ['-P', 'dev/types.py', 'src/api/schema.ts'])
run(process.execPath, ['node_modules/typescript/bin/tsc', '--noEmit', '-p', '.'])
