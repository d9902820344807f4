#!/usr/bin/env python3
"""Verifies a Pitchside evidence file offline, with nothing but Python's standard library.

Written from ledger/block/README.md alone, to show that the page suffices. It shares no code with the Rust crate.

    verify_evidence.py FILE --policy POLICY      exit 0 believed, 2 usage, 3 refused
    verify_evidence.py --self-test VECTORS       checks the test vectors, and that changed bytes are refused
"""

import base64
import hashlib
import json
import sys


class Refused(Exception):
    """The file is not believed; the text says why."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Deterministic CBOR (RFC 8949, 4.2.1): integers, bytes, text, arrays, maps with ascending integer keys, tags. ---

class Tag:
    def __init__(self, number, value):
        self.number, self.value = number, value


def cbor_encode(item):
    def head(major, argument):
        if argument < 24:
            return bytes([major << 5 | argument])
        for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
            if argument < 1 << 8 * size:
                return bytes([major << 5 | code]) + argument.to_bytes(size, "big")
        raise Refused("a number is too large for CBOR")

    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(cbor_encode, item))
    if isinstance(item, dict):
        pairs = b"".join(cbor_encode(k) + cbor_encode(v) for k, v in sorted(item.items()))
        return head(5, len(item)) + pairs
    if isinstance(item, Tag):
        return head(6, item.number) + cbor_encode(item.value)
    raise Refused("not a CBOR item used here")


def cbor_read(data, at, depth=0):
    if at >= len(data) or depth > 8:
        raise Refused("the CBOR ends too early or nests too deep")
    major, argument = data[at] >> 5, data[at] & 31
    at += 1
    if 24 <= argument <= 27:
        size = 1 << argument - 24
        argument = int.from_bytes(data[at:at + size], "big")
        at += size
    elif argument > 27:
        raise Refused("indefinite lengths are not used")
    if major == 0:
        return argument, at
    if major == 1:
        return -1 - argument, at
    if major in (2, 3):
        if at + argument > len(data):
            raise Refused("a string ends too early")
        chunk = data[at:at + argument]
        try:
            return (chunk if major == 2 else chunk.decode()), at + argument
        except UnicodeDecodeError as error:
            raise Refused("a text is not UTF-8") from error
    if major in (4, 5) and argument > len(data):
        raise Refused("more items than bytes")
    if major == 4:
        items = []
        for _ in range(argument):
            item, at = cbor_read(data, at, depth + 1)
            items.append(item)
        return items, at
    if major == 5:
        pairs = {}
        for _ in range(argument):
            key, at = cbor_read(data, at, depth + 1)
            value, at = cbor_read(data, at, depth + 1)
            if not isinstance(key, int) or key in pairs:
                raise Refused("a map key is not an integer or comes twice")
            pairs[key] = value
        return pairs, at
    if major == 6:
        value, at = cbor_read(data, at, depth + 1)
        return Tag(argument, value), at
    raise Refused("floats and simple values are not used")


def cbor_exact(data, what):
    item, at = cbor_read(data, 0)
    if at != len(data) or cbor_encode(item) != data:
        raise Refused(f"{what} is not deterministic CBOR")
    return item


def fields(item, kinds, what):
    """A map with exactly these keys and types."""
    if not isinstance(item, dict) or set(item) != set(kinds):
        raise Refused(f"{what} does not have the fields it should")
    for key, kind in kinds.items():
        size = kind if isinstance(kind, int) else None
        if not isinstance(item[key], bytes if size is not None else kind) or size is not None and len(item[key]) != size:
            raise Refused(f"field {key} of {what} has the wrong type or length")
    return item


# --- Ed25519 (RFC 8032), strict: canonical encodings, no points of small order. ---

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    t1, t2 = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    t3, t4 = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t2 - t1, t4 - t3, t4 + t3, t2 + t1
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_read(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * I % P
    if (x * x - x2) % P or x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def point_write(point):
    z = pow(point[2], P - 2, P)
    x, y = point[0] * z % P, point[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = point_read((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def small_order(point):
    eight = point_multiply(8, point)
    return eight[0] % P == 0 and (eight[1] - eight[2]) % P == 0


def ed25519_verify(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = point_read(public), point_read(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or small_order(a) or small_order(r):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], a[2], P - a[3])
    return point_write(point_add(point_multiply(s, BASE), point_multiply(k, minus_a))) == signature[:32]


# --- RFC 6962 trees. ---

def leaf_hash(leaf):
    return sha256(b"\x00", leaf)


def counted_root(count, root):
    return sha256(b"\x02", count.to_bytes(4, "big"), root)


def root_from_path(leaf, index, size, path, what):
    if not 0 <= index < size:
        raise Refused(f"{what}: position {index} is not in a tree of {size}")
    first, last, steps = 0, size, []
    while last - first > 1:
        k = 1 << (last - first - 1).bit_length() - 1
        if index < first + k:
            steps.append(True)
            last = first + k
        else:
            steps.append(False)
            first += k
    if len(steps) != len(path):
        raise Refused(f"{what}: the proof has {len(path)} hashes, {len(steps)} are needed")
    for left, sibling in zip(reversed(steps), path):
        leaf = sha256(b"\x01", leaf, sibling) if left else sha256(b"\x01", sibling, leaf)
    return leaf


# --- C2SP signed notes, checkpoints and policies. ---

def b64(text, what):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(f"{what} is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Refused(f"{what} is not canonical base64")
    return data


def read_vkey(text):
    name, _, rest = text.partition("+")
    key_id, _, blob = rest.partition("+")
    key = b64(blob, "a verifier key")
    if len(key) != 33 or key[0] not in (1, 4) or sha256(name.encode(), b"\n", key)[:4].hex() != key_id:
        raise Refused("a verifier key of the policy is malformed")
    return {"name": name, "id": bytes.fromhex(key_id), "kind": key[0], "public": key[1:]}


def read_policy(data):
    policy = {"logs": [], "witnesses": [], "groups": {}, "quorum": "none"}
    if not data.endswith(b"\n"):
        raise Refused("the policy does not end in a newline")
    for line in data.decode(errors="surrogateescape")[:-1].split("\n"):
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "log":
            policy["logs"].append(read_vkey(words[1]))
        elif words[0] == "witness":
            policy["witnesses"].append((words[1], read_vkey(words[2])))
        elif words[0] == "group":
            members = words[3:]
            needed = {"any": 1, "all": len(members)}.get(words[2]) or int(words[2])
            policy["groups"][words[1]] = (needed, members)
        elif words[0] == "quorum":
            policy["quorum"] = words[1]
        else:
            raise Refused("the policy has an unknown line")
    return policy


def read_note(data):
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Refused("the checkpoint is not UTF-8") from error
    body, separator, signatures = text.rpartition("\n\n")
    if not separator or not signatures.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise Refused("the checkpoint is not a signed note")
    found = []
    for line in signatures[:-1].split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014" or not words[1] or "+" in words[1]:
            raise Refused("a signature line is malformed")
        blob = b64(words[2], "a signature")
        if len(blob) < 5:
            raise Refused("a signature is too short")
        found.append((words[1], blob[:4], blob[4:]))
    return body + "\n", found


def signed_by(key, text, signatures):
    """Whether the key signed; a wrong signature of a known key refuses the note."""
    for name, key_id, blob in signatures:
        if (name, key_id) != (key["name"], key["id"]):
            continue
        if key["kind"] == 1:
            good = ed25519_verify(key["public"], text.encode(), blob)
        else:
            time = int.from_bytes(blob[:8], "big")
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            good = time < 1 << 63 and ed25519_verify(key["public"], message, blob[8:])
        if not good:
            raise Refused(f"the signature of {name} is wrong")
        return True
    return False


def check_checkpoint(data, policy):
    text, signatures = read_note(data)
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines) or not lines[1].isascii() or not lines[1].isdigit():
        raise Refused("the note is not a checkpoint")
    size, root = int(lines[1]), b64(lines[2], "the root hash")
    if str(size) != lines[1] or size >= 1 << 64 or len(root) != 32:
        raise Refused("the note is not a checkpoint")
    logs = [key for key in policy["logs"] if key["name"] == lines[0]]
    if not any([signed_by(key, text, signatures) for key in logs]):
        raise Refused("the checkpoint is not signed by a log the policy names")
    cosigned = {name for name, key in policy["witnesses"] if signed_by(key, text, signatures)}

    def witnessed(name):
        if name == "none" or name in cosigned:
            return True
        needed, members = policy["groups"].get(name, (1, []))
        return sum(map(witnessed, members)) >= needed

    if not witnessed(policy["quorum"]):
        raise Refused("too few of the policy's witnesses cosigned the checkpoint")
    return lines[0], size, root, sorted(cosigned)


# --- Blocks and evidence. ---

HEADER = {1: int, 2: 32, 3: int, 4: int, 5: 32, 6: int, 7: int, 8: 32, 9: int, 10: 32, 11: 32, 12: 32, 13: 32}
EVIDENCE = {1: int, 2: bytes, 3: 16, 4: list, 5: 32, 6: 32, 7: list, 8: bytes, 9: int, 10: list, 11: bytes, 12: 32}


def check_header(data):
    item = cbor_exact(data, "the block header")
    if not isinstance(item, Tag) or item.number != 18 or not isinstance(item.value, list) or len(item.value) != 4:
        raise Refused("the block header is not a COSE_Sign1 object")
    protected, unprotected, payload, signature = item.value
    if protected != bytes.fromhex("a10127") or unprotected != {} or not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise Refused("the block header is not in the one form there is")
    header = cbor_exact(payload, "the block header")
    seen = {14: list} if isinstance(header, dict) and 14 in header else {}
    fields(header, {**HEADER, **seen}, "the block header")
    if header[1] != 1 or header[7] not in (0, 1, 2):
        raise Refused("the block header has an unknown version or clock state")
    signed = cbor_encode(["Signature1", protected, b"pitchside/block/1", payload])
    if not ed25519_verify(header[2], signed, signature):
        raise Refused("the block header is not signed by its gateway")
    return header


def place(item, what):
    if len(item) != 3 or not isinstance(item[2], list) or not all(isinstance(h, bytes) and len(h) == 32 for h in item[2]):
        raise Refused(f"{what} is malformed")
    if not all(isinstance(n, int) and 0 <= n < 1 << 32 for n in item[:2]):
        raise Refused(f"{what} is malformed")
    return item


def verify(data, policy):
    """Returns what the evidence says, or raises Refused."""
    item = cbor_exact(data, "the file")
    if not isinstance(item, Tag) or item.number != 55799:
        raise Refused("this is not an evidence file")
    evidence = fields(item.value, EVIDENCE, "the file")
    if evidence[1] != 1:
        raise Refused("unknown version of evidence")
    if sha256(data[:-35]) != evidence[12]:
        raise Refused("the file's own digest does not match")
    index, count, path = place(evidence[4], "the record's place")
    root = root_from_path(leaf_hash(evidence[3] + evidence[2]), index, count, path, "the record")
    segment = evidence[5] + counted_root(count, root) + evidence[6]
    index, count, path = place(evidence[7], "the segment's place")
    root = counted_root(count, root_from_path(leaf_hash(segment), index, count, path, "the segment"))
    header = check_header(evidence[8])
    if root != header[8]:
        raise Refused("the record is not in the block")
    origin, size, log_root, witnesses = check_checkpoint(evidence[11], policy)
    if not all(isinstance(h, bytes) and len(h) == 32 for h in evidence[10]):
        raise Refused("the log's proof is malformed")
    if root_from_path(leaf_hash(evidence[8]), evidence[9], size, evidence[10], "the block") != log_root:
        raise Refused("the block is not in the ledger")
    record = cbor_exact(evidence[2], "the record")
    if not isinstance(record, dict) or record.get(1) not in (1, 2):
        raise Refused("the record is neither a reading nor an alert")
    return {
        "record": {str(k): v.hex() if isinstance(v, bytes) else v for k, v in record.items()},
        "gateway": header[2].hex(), "incarnation": header[3], "index": header[4], "sealed_at_us": header[6],
        "log": origin, "log_size": size, "leaf_index": evidence[9], "witnesses": witnesses,
    }


def self_test(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(": ") for line in file if ": " in line and not line.startswith("#")]
    vectors = {name: value for name, value in lines}
    policy = read_policy(bytes.fromhex(vectors["policy"]))
    for name in ("evidence-reading", "evidence-alert"):
        data = bytes.fromhex(vectors[name])
        print(name, "accepted:", json.dumps(verify(data, policy)))
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            attempts = [bytes(changed)]
            if at % 11 == 0:
                # Somebody who knows the layout repairs the file's digest; the proofs must still tell.
                attempts.append(bytes(changed[:-32]) + sha256(bytes(changed[:-35])))
            for attempt in attempts:
                try:
                    verify(attempt, policy)
                except Refused:
                    continue
                if attempt != data:
                    print(f"{name}: a change of byte {at} was accepted")
                    return 1
        print(name, "every change refused:", len(data), "bytes")
    return 0


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--self-test":
        return self_test(arguments[1])
    if len(arguments) != 3 or arguments[1] != "--policy":
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(arguments[2], "rb") as file:
            policy = read_policy(file.read())
        with open(arguments[0], "rb") as file:
            data = file.read(1 << 20)
    except (OSError, Refused, IndexError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        print(json.dumps(verify(data, policy)))
        return 0
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
