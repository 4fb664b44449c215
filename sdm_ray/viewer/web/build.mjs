/**
 * Builds the page's script: `npm install --no-package-lock --ignore-scripts && node build.mjs [FOLDER]`.
 *
 * Versions are exact in package.json, those of what they need in `overrides`; the same versions give the same bytes.
 * FOLDER is `../page` where it is not given. The licences of all that the script holds are written beside it.
 */
import {existsSync, readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, '..', 'page');

const empty = join(here, 'src', 'no-codec.js');
const result = await build({
  absWorkingDir: here,
  entryPoints: ['src/main.js'],
  outfile: join(out, 'viewer.js'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none', // they are in LICENSES.txt
  metafile: true,
  // What our stores have is decoded by zstddec and blosc.js, in a tenth of the size of these.
  alias: {'numcodecs/blosc': empty, 'numcodecs/lz4': empty, 'numcodecs/zstd': empty},
});

const used = new Set();
for (const file of Object.keys(result.metafile.inputs)) {
  const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(file)?.[1];
  if (name) used.add(name);
}
const parts = [...used].sort().map((name) => {
  const folder = join(here, 'node_modules', name);
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const text = file && existsSync(join(folder, file)) ? readFileSync(join(folder, file), 'utf8').trim() : `License: ${about.license}`;
  return `${name} ${about.version} (${about.license})\n\n${text}\n`;
});
const rule = `\n${'-'.repeat(80)}\n\n`;
writeFileSync(join(out, 'LICENSES.txt'), `viewer.js holds parts of these packages.\n\n${parts.join(rule)}`);
const sizes = Object.entries(result.metafile.outputs).map(([file, {bytes}]) => `${file.split('/').at(-1)} ${bytes}`);
console.log(`${sizes.join(', ')} bytes, of ${[...used].sort().join(', ')}`);
