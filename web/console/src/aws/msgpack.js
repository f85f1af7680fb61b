// MessagePack, read (https://github.com/msgpack/msgpack/blob/master/spec.md). Binary becomes {text} where it is
// one, else {bytes} in hexadecimal; extensions {ext, bytes}.
const text = new TextDecoder("utf-8", { fatal: true });

// The value that `data` holds; throws when it is not one whole value.
export function unpack(data) {
  const reader = new Reader(data);
  const value = reader.value(0);
  if (reader.at !== data.length) throw new RangeError("more than one value");
  return value;
}

const DEEP = 64;

class Reader {
  constructor(data) {
    this.data = data;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.at = 0;
  }

  take(length) {
    if (this.at + length > this.data.length) throw new RangeError("cut short");
    const start = this.at;
    this.at += length;
    return start;
  }

  number(length, kind = "Uint") {
    const start = this.take(length);
    if (length === 8 && kind !== "Float") {
      const big = kind === "Int" ? this.view.getBigInt64(start) : this.view.getBigUint64(start);
      return Number.isSafeInteger(Number(big)) ? Number(big) : big.toString();
    }
    return this.view[`get${kind}${length * 8}`](start);
  }

  bytes(length) {
    const start = this.take(length);
    return this.data.subarray(start, start + length);
  }

  string(length) {
    return text.decode(this.bytes(length));
  }

  list(length, deep) {
    const made = [];
    for (let n = 0; n < length; n++) made.push(this.value(deep + 1));
    return made;
  }

  map(length, deep) {
    const made = [];
    for (let n = 0; n < length; n++) {
      const name = this.value(deep + 1);
      made.push([typeof name === "string" ? name : JSON.stringify(name), this.value(deep + 1)]);
    }
    return Object.fromEntries(made);
  }

  extension(length) {
    return { ext: this.number(1, "Int"), bytes: hex(this.bytes(length)) };
  }

  value(deep) {
    if (deep > DEEP) throw new RangeError("too deep");
    const b = this.number(1);
    if (b < 0x80) return b;
    if (b < 0x90) return this.map(b & 0x0f, deep);
    if (b < 0xa0) return this.list(b & 0x0f, deep);
    if (b < 0xc0) return this.string(b & 0x1f);
    if (b >= 0xe0) return b - 256;
    switch (b) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return binary(this.bytes(this.number(1 << (b - 0xc4))));
      case 0xc7: case 0xc8: case 0xc9: return this.extension(this.number(1 << (b - 0xc7)));
      case 0xca: return this.number(4, "Float");
      case 0xcb: return this.number(8, "Float");
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.number(1 << (b - 0xcc));
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return this.number(1 << (b - 0xd0), "Int");
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.extension(1 << (b - 0xd4));
      case 0xd9: case 0xda: case 0xdb: return this.string(this.number(1 << (b - 0xd9)));
      case 0xdc: case 0xdd: return this.list(this.number(2 << (b - 0xdc)), deep);
      case 0xde: case 0xdf: return this.map(this.number(2 << (b - 0xde)), deep);
      default: throw new RangeError("no MessagePack");
    }
  }
}

function binary(data) {
  try {
    const told = text.decode(data);
    if (told && !/[\u0000-\u0008\u000e-\u001f]/.test(told)) return { text: told };
  } catch {
    // no text
  }
  return { bytes: hex(data) };
}

const hex = (data) => [...data].map((b) => b.toString(16).padStart(2, "0")).join("");
