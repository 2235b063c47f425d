"use strict";
/* A ZIP file of files that are not compressed: pictures are so already. */
const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let sum = ~0;
  for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

/* files: [name, bytes]; names are UTF-8, the time of all is 1980, as the format's first. */
function zip(files) {
  const parts = [];
  const entries = [];
  let at = 0;
  const numbers = (...pairs) => {
    const view = new DataView(new ArrayBuffer(pairs.reduce((sum, [size]) => sum + size, 0)));
    let place = 0;
    for (const [size, value] of pairs) {
      size === 2 ? view.setUint16(place, value, true) : view.setUint32(place, value, true);
      place += size;
    }
    return new Uint8Array(view.buffer);
  };
  for (const [name, bytes] of files) {
    const title = new TextEncoder().encode(name);
    const about = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc32(bytes)], [4, bytes.length],
      [4, bytes.length], [2, title.length], [2, 0]];
    const head = numbers([4, 0x04034b50], ...about);
    entries.push(numbers([4, 0x02014b50], [2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), title);
    parts.push(head, title, bytes);
    at += head.length + title.length + bytes.length;
  }
  const size = entries.reduce((sum, part) => sum + part.length, 0);
  return new Blob([...parts, ...entries, numbers([4, 0x06054b50], [2, 0], [2, 0], [2, files.length],
    [2, files.length], [4, size], [4, at], [2, 0])], { type: "application/zip" });
}
