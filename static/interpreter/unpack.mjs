// Puts the files of tools/pack.py's `packed` (which says the format) into an interpreter's.
export const unpack = (FS, data) => {
  const length = new DataView(data).getUint32(0, true);
  let at = 4 + length;
  for (const [path, size] of JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)))) {
    FS.mkdirTree(path.slice(0, path.lastIndexOf('/')));
    FS.writeFile(path, new Uint8Array(data, at, size));
    at += size;
  }
};
