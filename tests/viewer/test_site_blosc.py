"""The page's own decoder of Blosc chunks, on chunks that numcodecs makes."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numcodecs
import numpy as np
import pytest

from sdm_ray.viewer.site import PAGE

DECODER = Path(PAGE).parent / "web" / "src" / "blosc.js"
SCRIPT = """
const {decodeBlosc} = await import(process.argv[1]);
const {readFileSync} = await import('node:fs');
const lines = JSON.parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify(lines.map((text) => {
  try {
    return Buffer.from(decodeBlosc(new Uint8Array(Buffer.from(text, 'base64')))).toString('base64');
  } catch (error) {
    return error.message;
  }
})));
"""


def decoded(chunks: list[bytes]) -> list[str]:
    if shutil.which("node") is None:
        pytest.skip("no Node.js on this machine")
    words = ["node", "--input-type=module", "-e", SCRIPT, str(DECODER)]
    sent = json.dumps([base64.b64encode(chunk).decode() for chunk in chunks])
    found = subprocess.run(words, input=sent, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def test_chunks_of_any_size_type_and_content_are_decoded():
    numbers = np.random.default_rng(0)
    arrays = []
    for kind in ("float32", "uint16", "uint8", "float64"):
        for size in (5, 1000, 65_536, 300_001):
            smooth, noise = np.sin(np.arange(size) / 50) * 100 + 100, numbers.random(size) * 200
            arrays += [each.astype(kind) for each in (smooth, noise, np.ones(size))]
    for shuffle in (0, 1):
        found = decoded([numcodecs.Blosc("lz4", 5, shuffle).encode(each) for each in arrays])
        for text, each in zip(found, arrays, strict=True):
            assert base64.b64decode(text) == each.tobytes(), (each.dtype, len(each), shuffle)


def test_what_it_does_not_decode_is_said():
    values = np.sin(np.arange(5000)).astype("float32")
    found = decoded([numcodecs.Blosc("zlib").encode(values), numcodecs.Blosc("lz4", 5, 2).encode(values)])
    assert found == [
        "its chunks have the Blosc format 3, not LZ4 or Zstandard",
        "its chunks have shuffled bits, which this page does not decode",
    ]
