// build.mjs - bundles web/src into web/dist: one document, and files under assets/ whose names have
// the hash of their content. `licences.txt` has the licence of each bundled package.

import { build } from 'esbuild'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
process.chdir(here)
rmSync('dist', { recursive: true, force: true })
mkdirSync('dist/assets', { recursive: true })

/**
 * A module that is loaded when it is shown imports the page's own script first. All modules of the first load are
 * then reachable from every chunk, so that they are one chunk: without this the bundler makes one for each set
 * of chunks that share a module, and each of them delays the first paint.
 */
const oneFirstChunk = {
  name: 'one-first-chunk',
  setup(bundler) {
    bundler.onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) =>
      kind === 'dynamic-import' ? { path: relative(here, join(resolveDir, path)), namespace: 'later' } : undefined)
    bundler.onLoad({ filter: /.*/, namespace: 'later' }, ({ path }) => ({
      contents: `import './src/page'; export * from './${path}'`,
      resolveDir: here,
    }))
  },
}

const result = await build({
  entryPoints: { page: 'src/page.tsx', style: 'src/page.css' },
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  outdir: 'dist/assets',
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  metafile: true,
  logLevel: 'warning',
  plugins: [oneFirstChunk],
})

const icon = readFileSync('src/icon.svg')
const iconName = `icon-${createHash('sha256').update(icon).digest('hex').slice(0, 8).toUpperCase()}.svg`
writeFileSync(join('dist/assets', iconName), icon)

/** Path of what became of an entry point. */
const outputOf = entryPoint => Object.entries(result.metafile.outputs).find(([, o]) => o.entryPoint === entryPoint)[0]
const nameOf = path => `assets/${path.split('/').pop()}`
/** Scripts that the page's script imports, and those that these import. */
function importsOf(path, found = new Set()) {
  for (const i of result.metafile.outputs[path].imports) {
    if (i.kind !== 'import-statement' || found.has(i.path)) continue
    found.add(i.path)
    importsOf(i.path, found)
  }
  return found
}
const names = {
  preloads: [...importsOf(outputOf('src/page.tsx'))].map(path => `<link rel="modulepreload" href="${nameOf(path)}">`).join('\n'),
  icon: `assets/${iconName}`,
  script: nameOf(outputOf('src/page.tsx')),
  style: nameOf(outputOf('src/page.css')),
}
const html = readFileSync('src/index.html', 'utf8').replace(/\{(\w+)\}/g, (_, name) => names[name])
writeFileSync('dist/index.html', html)

// The packages that have code in the output, and their licences.
const packages = new Set()
for (const output of Object.values(result.metafile.outputs)) {
  for (const [path, input] of Object.entries(output.inputs)) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)
    if (match !== null && input.bytesInOutput > 0) packages.add(match[1])
  }
}
const texts = [...packages].sort().map(name => {
  const folder = join('node_modules', name)
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const file = readdirSync(folder).find(f => /^licen[cs]e/i.test(f))
  const text = file === undefined ? '' : '\n' + readFileSync(join(folder, file), 'utf8').trim() + '\n'
  return `${name} ${version} (${license})\n${text}`
})
writeFileSync('dist/assets/licences.txt', texts.join('\n' + '-'.repeat(80) + '\n\n'))
