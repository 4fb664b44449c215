/**
 * Decoding of Blosc chunks (format version 2) with LZ4 or Zstandard inside, as zarr-python writes them.
 *
 * github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst says how chunks are laid out. The usual decoder makes
 * functions from text, which the page's security policy forbids.
 */

const HEADER = 16;
const SHUFFLED = 1;
const COPIED = 2;
const BITS_SHUFFLED = 4;
const NOT_SPLIT = 16;
const LZ4 = 1;
const ZSTD = 4;

/**
 * @param {Uint8Array} chunk as stored.
 * @param {(bytes: Uint8Array, size: number) => Uint8Array} zstd decodes Zstandard.
 * @return {Uint8Array} its content.
 */
export function decodeBlosc(chunk, zstd) {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const [flags, itemSize] = [chunk[2], chunk[3]];
  const [size, blockSize] = [view.getUint32(4, true), view.getUint32(8, true)];
  if (flags & COPIED) return chunk.slice(HEADER, HEADER + size);
  if (flags & BITS_SHUFFLED) throw new Error('its chunks have shuffled bits, which this page does not decode');
  const format = flags >> 5;
  if (format !== LZ4 && format !== ZSTD) throw new Error(`its chunks have the Blosc format ${format}, not LZ4 or Zstandard`);
  const out = new Uint8Array(size);
  for (let first = 0, block = 0; first < size; first += blockSize, block++) {
    const length = Math.min(blockSize, size - first);
    const parts = flags & NOT_SPLIT || length < blockSize ? 1 : itemSize;
    const decoded = new Uint8Array(length);
    let at = view.getInt32(HEADER + 4 * block, true);
    for (let part = 0; part < parts; part++) {
      const stored = view.getInt32(at, true);
      const bytes = chunk.subarray(at + 4, at + 4 + stored);
      const target = decoded.subarray((part * length) / parts, ((part + 1) * length) / parts);
      if (stored === target.length) target.set(bytes);
      else if (format === LZ4) decodeLz4(bytes, target);
      else target.set(zstd(bytes, target.length));
      at += 4 + stored;
    }
    out.set(flags & SHUFFLED && itemSize > 1 ? unshuffled(decoded, itemSize) : decoded, first);
  }
  return out;
}

/** Bytes of numbers whose first bytes came first, then all second ones, and so on. */
function unshuffled(bytes, itemSize) {
  const count = Math.floor(bytes.length / itemSize);
  const out = bytes.slice(); // what is no whole number stays at the end
  for (let part = 0; part < itemSize; part++) {
    for (let i = 0; i < count; i++) out[i * itemSize + part] = bytes[part * count + i];
  }
  return out;
}

/** Decode one LZ4 block (github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md). */
function decodeLz4(bytes, out) {
  let [at, to] = [0, 0];
  const lengthOf = (nibble) => {
    let length = nibble;
    for (let more = nibble === 15 ? 255 : 0; more === 255; length += more) more = bytes[at++];
    return length;
  };
  while (at < bytes.length) {
    const token = bytes[at++];
    const literals = lengthOf(token >> 4);
    out.set(bytes.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= bytes.length) break; // the last sequence has literals alone
    const offset = bytes[at] | (bytes[at + 1] << 8);
    at += 2;
    const end = to + lengthOf(token & 15) + 4;
    for (; to < end; to++) out[to] = out[to - offset];
  }
}
