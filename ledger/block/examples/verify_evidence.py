#!/usr/bin/env python3
"""Verifies a Pitchside evidence file offline, with nothing but Python's standard library (3.11 or later, for tomllib).

Written from ledger/block/README.md and, for the hashes of rules, gateway/rules/README.md alone, to show that the pages suffice.
It shares no code with the Rust crates. It does not evaluate rules: of an alert it says that it was raised by that rule over those
readings, as proven and stated, and not whether the rule raises it again.

    verify_evidence.py FILE --policy POLICY      exit 0 believed, 2 usage, 3 refused
    verify_evidence.py --self-test VECTORS       checks the test vectors, and that changed bytes are refused
"""

import base64
import functools
import hashlib
import json
import sys
import tomllib

EVIDENCE_MAX, ALERT_EVIDENCE_MAX = 320 << 10, 16 << 20
NOTE_MAX, POLICY_MAX, HEADER_MAX, RECORD_MAX = 256 << 10, 256 << 10, 1 << 10, 32 << 10


class Refused(Exception):
    """The file is not believed; the text says why."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Deterministic CBOR (RFC 8949, 4.2.1): integers, bytes, text, arrays, maps with ascending integer keys, tags, null. ---

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
    if item is None:
        return b"\xf6"
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
    if argument == 22:
        return None, at
    raise Refused("floats and simple values other than null are not used")


def cbor_exact(data, what):
    item, at = cbor_read(data, 0)
    if at != len(data) or cbor_encode(item) != data:
        raise Refused(f"{what} is not deterministic CBOR")
    return item


# What a field may be.

def uint(value, below=1 << 64):
    return isinstance(value, int) and 0 <= value < below


def integer(value):
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def text(value):
    return isinstance(value, str)


def octets(most=ALERT_EVIDENCE_MAX, least=0):
    return lambda value: isinstance(value, bytes) and least <= len(value) <= most


def array(*kinds):
    return lambda value: isinstance(value, list) and len(value) == len(kinds) and all(k(v) for k, v in zip(kinds, value))


def several(kind, most, least=0):
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(kind, value))


def or_null(kind):
    return lambda value: value is None or kind(value)


def below(limit):
    return lambda value: uint(value, limit)


u32, hash32, bytes16 = below(1 << 32), octets(32, 32), octets(16, 16)
path = several(hash32, 63)


def fields(item, kinds, what, optional=()):
    """A map with exactly these keys, but for the optional ones, each of its kind."""
    if not isinstance(item, dict) or not set(kinds) - set(optional) <= set(item) <= set(kinds):
        raise Refused(f"{what} does not have the fields it should")
    for key, value in item.items():
        if not kinds[key](value):
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


def read_vkey(line, kind):
    name, _, rest = line.partition("+")
    key_id, _, blob = rest.partition("+")
    key = b64(blob, "a verifier key")
    if len(key) != 33 or key[0] != kind or sha256(name.encode(), b"\n", key)[:4].hex() != key_id:
        raise Refused("a verifier key of the policy is malformed")
    return {"name": name, "id": bytes.fromhex(key_id), "kind": key[0], "public": key[1:]}


def read_policy(data):
    """As C2SP tlog-policy has it: what a group or the quorum names stands above it, and there is one line of a quorum."""
    policy = {"logs": [], "witnesses": [], "groups": {}}
    names, grouped = set(), set()

    def name_of(word):
        if word == "none" or word in names:
            raise Refused(f"the policy cannot call something {word} here")
        names.add(word)
        return word

    def key_of(word, kind, others):
        key = read_vkey(word, kind)
        if key["public"] in [other["public"] for other in others]:
            raise Refused("the policy lists a key twice")
        return key

    if len(data) > POLICY_MAX or not data.endswith(b"\n"):
        raise Refused("the policy is too long or does not end in a newline")
    lines = data.decode(errors="surrogateescape")
    if any((c < " " and c not in "\t\n") or c == "\x7f" for c in lines):
        raise Refused("the policy has a control character")
    for line in lines[:-1].split("\n"):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        if not words or words[0].startswith("#"):
            continue
        keyword, *items = words
        if keyword == "log" and len(items) in (1, 2):
            policy["logs"].append(key_of(items[0], 1, policy["logs"]))
        elif keyword == "witness" and len(items) in (2, 3):
            key = key_of(items[1], 4, [key for _, key in policy["witnesses"]])
            policy["witnesses"].append((name_of(items[0]), key))
        elif keyword == "group" and len(items) >= 3:
            name, needed, *members = items
            needed = {"any": "1", "all": str(len(members))}.get(needed, needed)
            if not needed.isascii() or not needed.isdigit() or not 1 <= int(needed) <= len(members):
                raise Refused(f"the policy's group {name} asks for a number of members that it cannot have")
            if not set(members) <= names or len(set(members)) < len(members) or set(members) & grouped:
                raise Refused(f"the policy's group {name} has a member that is not defined above it, or in a group already")
            grouped.update(members)
            policy["groups"][name_of(name)] = (int(needed), members)
        elif keyword == "quorum" and len(items) == 1 and "quorum" not in policy:
            if items[0] != "none" and items[0] not in names:
                raise Refused("the policy's quorum is not defined above it")
            policy["quorum"] = items[0]
        else:
            raise Refused(f"the policy has a line that is none: {line}")
    if "quorum" not in policy:
        raise Refused("the policy has no line of a quorum")
    if any(len(policy[kind]) > 256 for kind in ("logs", "witnesses", "groups")):
        raise Refused("the policy is too long")
    return policy


def read_note(data):
    try:
        note = data.decode()
    except UnicodeDecodeError as error:
        raise Refused("the checkpoint is not UTF-8") from error
    body, separator, signatures = note.rpartition("\n\n")
    lines = signatures[:-1].split("\n")
    if not separator or not signatures.endswith("\n") or any(c < " " and c != "\n" for c in note):
        raise Refused("the checkpoint is not a signed note")
    if len(data) > NOTE_MAX or len(lines) > 64:
        raise Refused("the checkpoint is too long")
    found = []
    for line in lines:
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014" or not words[1] or "+" in words[1]:
            raise Refused("a signature line is malformed")
        blob = b64(words[2], "a signature")
        if len(blob) < 5:
            raise Refused("a signature is too short")
        found.append((words[1], blob[:4], blob[4:]))
    return body + "\n", found


def signed_by(key, body, signatures):
    """Whether the key signed; a wrong signature of a known key refuses the note."""
    signed = False
    for name, key_id, blob in signatures:
        if (name, key_id) != (key["name"], key["id"]):
            continue
        if key["kind"] == 1:
            good = ed25519_verify(key["public"], body.encode(), blob)
        else:
            time = int.from_bytes(blob[:8], "big")
            message = f"cosignature/v1\ntime {time}\n{body}".encode()
            good = time < 1 << 63 and ed25519_verify(key["public"], message, blob[8:])
        if not good:
            raise Refused(f"the signature of {name} is wrong")
        signed = True
    return signed


def check_checkpoint(data, policy):
    body, signatures = read_note(data)
    lines = body[:-1].split("\n")
    if len(lines) < 3 or not all(lines) or not lines[1].isascii() or not lines[1].isdigit() or len(lines[1]) > 20:
        raise Refused("the note is not a checkpoint")
    size, root = int(lines[1]), b64(lines[2], "the root hash")
    if str(size) != lines[1] or size >= 1 << 64 or len(root) != 32:
        raise Refused("the note is not a checkpoint")
    logs = [key for key in policy["logs"] if key["name"] == lines[0]]
    if not any([signed_by(key, body, signatures) for key in logs]):
        raise Refused("the checkpoint is not signed by a log the policy names")
    cosigned = {name for name, key in policy["witnesses"] if signed_by(key, body, signatures)}

    def witnessed(name):
        if name == "none" or name in cosigned:
            return True
        needed, members = policy["groups"].get(name, (1, []))  # none of a witness that did not
        return sum(map(witnessed, members)) >= needed

    if not witnessed(policy["quorum"]):
        raise Refused("too few of the policy's witnesses cosigned the checkpoint")
    return lines[0], size, root, sorted(cosigned)


# --- Blocks and records. ---

HEADER = {
    1: uint, 2: hash32, 3: uint, 4: uint, 5: hash32, 6: integer, 7: below(3), 8: hash32, 9: uint, 10: hash32, 11: hash32,
    12: hash32, 13: hash32, 14: array(uint, hash32),
}
VALUES = (
    array(below(1), integer, integer),
    array(uint, uint, integer, integer, several(integer, 4096)),
    array(uint, below(7), uint),
)
READING = {
    1: uint, 2: text, 3: text, 4: below(5), 5: uint, 6: uint, 7: u32, 8: below(1 << 16), 9: below(1 << 8), 10: integer,
    11: integer, 12: below(32), 13: lambda value: any(kind(value) and value[0] == n for n, kind in enumerate(VALUES)),
}
CLEARED = {1: uint, 2: uint, 3: bytes16, 4: integer}
RAISED = {
    **CLEARED, 5: text, 6: text, 7: below(3), 8: text, 9: text, 10: below(1 << 16), 11: array(integer, integer),
    12: below(1 << 8), 13: text,
}


def sign1(data, context, what):
    """The payload of a COSE_Sign1 object, and whether a key signed it."""
    item = cbor_exact(data, what)
    if not isinstance(item, Tag) or item.number != 18 or not isinstance(item.value, list) or len(item.value) != 4:
        raise Refused(f"{what} is not a COSE_Sign1 object")
    protected, unprotected, payload, signature = item.value
    if protected != bytes.fromhex("a10127") or unprotected != {} or not octets()(payload) or not octets(64, 64)(signature):
        raise Refused(f"{what} is not in the one form there is")
    signed = cbor_encode(["Signature1", protected, context, payload])
    return payload, lambda public: ed25519_verify(public, signed, signature)


def check_header(data):
    if len(data) > HEADER_MAX:
        raise Refused("the block header is too long")
    payload, is_signed_by = sign1(data, b"pitchside/block/1", "the block header")
    header = fields(cbor_exact(payload, "the block header"), HEADER, "the block header", optional=(14,))
    if header[1] != 1:
        raise Refused("the block header has an unknown version")
    if not is_signed_by(header[2]):
        raise Refused("the block header is not signed by its gateway")
    return header


def check_block(data, leaf_index, log_path, tree):
    """The header of a block that is in the tree of a checkpoint."""
    header = check_header(data)
    if root_from_path(leaf_hash(data), leaf_index, tree[1], log_path, "the block") != tree[2]:
        raise Refused("the block is not in the ledger")
    return header


def check_record(data, blind, place, segment, header):
    """A record that is in a block: its place is index, count and path, its segment commitment, digest and the same."""
    root = counted_root(place[1], root_from_path(leaf_hash(blind + data), *place, "the record"))
    commitment, digest, *place = segment
    root = counted_root(place[1], root_from_path(leaf_hash(commitment + root + digest), *place, "the segment"))
    if root != header[8]:
        raise Refused("the record is not in the block")
    record = cbor_exact(data, "the record") if len(data) <= RECORD_MAX else None
    kind = isinstance(record, dict) and (record.get(1), record.get(2) if record.get(1) == 2 else None)
    if kind == (1, None):
        return fields(record, READING, "the reading", optional=(3,))
    if kind == (2, 0):
        return fields(record, RAISED, "the alert", optional=(8, 11))
    if kind == (2, 2):
        return fields(record, CLEARED, "the cleared alert")
    raise Refused("the record is neither a reading nor an alert")


# --- Evidence of one record: version 1. ---

PLACE = array(u32, u32, path)
EVIDENCE = {
    1: uint, 2: octets(), 3: bytes16, 4: PLACE, 5: hash32, 6: hash32, 7: PLACE, 8: octets(), 9: uint, 10: path, 11: octets(),
    12: hash32,
}


def self_described(data):
    item = cbor_exact(data, "the file")
    if not isinstance(item, Tag) or item.number != 55799 or not isinstance(item.value, dict):
        raise Refused("this is not an evidence file")
    return item.value


def shown(record):
    return {str(key): value.hex() if isinstance(value, bytes) else value for key, value in record.items()}


def verify_one(data, policy):
    """The record, its block's header, and what to say of both."""
    if len(data) > EVIDENCE_MAX:
        raise Refused("the file is too long")
    evidence = fields(self_described(data), EVIDENCE, "the file")
    if evidence[1] != 1:
        raise Refused("unknown version of evidence")
    if sha256(data[:-35]) != evidence[12]:
        raise Refused("the file's own digest does not match")
    origin, size, _, witnesses = tree = check_checkpoint(evidence[11], policy)
    header = check_block(evidence[8], evidence[9], evidence[10], tree)
    segment = [evidence[5], evidence[6], *evidence[7]]
    record = check_record(evidence[2], evidence[3], evidence[4], segment, header)
    return record, header, {
        "record": shown(record),
        "gateway": header[2].hex(), "incarnation": header[3], "index": header[4], "sealed_at_us": header[6],
        "log": origin, "log_size": size, "leaf_index": evidence[9], "witnesses": witnesses,
    }


# --- BLAKE3's derive_key, for the hashes of rules and the ids of alerts. ---

BLAKE3_IV = (0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19)
BLAKE3_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
BLAKE3_MIXED = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)
CHUNK_START, CHUNK_END, PARENT, ROOT, DERIVE_CONTEXT, DERIVE_MATERIAL = 1, 2, 4, 8, 32, 64


def blake3_compress(chaining, block, counter, flags):
    mask = (1 << 32) - 1
    words = [int.from_bytes(block[at:at + 4].ljust(4, b"\0"), "little") for at in range(0, 64, 4)]
    state = [*chaining, *BLAKE3_IV[:4], counter & mask, counter >> 32, len(block), flags]
    for _ in range(7):
        for at, (a, b, c, d) in enumerate(BLAKE3_MIXED):
            for word, first, second in ((words[2 * at], 16, 12), (words[2 * at + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & mask
                turned = state[d] ^ state[a]
                state[d] = (turned >> first | turned << 32 - first) & mask
                state[c] = (state[c] + state[d]) & mask
                turned = state[b] ^ state[c]
                state[b] = (turned >> second | turned << 32 - second) & mask
        words = [words[at] for at in BLAKE3_ORDER]
    return [state[at] ^ state[at + 8] for at in range(8)]


def blake3_words(data, key, flags):
    def node(data, first_chunk, flags_at_end):
        if len(data) > 1024:
            left = 1024 << ((len(data) - 1) // 1024).bit_length() - 1
            halves = node(data[:left], first_chunk, 0) + node(data[left:], first_chunk + left // 1024, 0)
            block = b"".join(word.to_bytes(4, "little") for word in halves)
            return blake3_compress(key, block, 0, flags | PARENT | flags_at_end)
        chaining, last = key, max(len(data) - 1, 0) // 64 * 64
        for at in range(0, last + 1, 64):
            here = (CHUNK_START if at == 0 else 0) | (CHUNK_END | flags_at_end if at == last else 0)
            chaining = blake3_compress(chaining, data[at:at + 64], first_chunk, flags | here)
        return chaining

    return node(data, 0, ROOT)


def derive_key(context, data):
    key = blake3_words(context.encode(), BLAKE3_IV, DERIVE_CONTEXT)
    return b"".join(word.to_bytes(4, "little") for word in blake3_words(data, key, DERIVE_MATERIAL))


def of_parts(context, *parts):
    return derive_key(context, b"".join(len(part).to_bytes(8, "little") + part for part in parts))


# --- Evidence of an alert: version 2. ---

READINGS = 8192
STATEMENT = {
    1: octets(EVIDENCE_MAX),
    2: several(octets(NOTE_MAX), READINGS),
    3: several(array(octets(HEADER_MAX), uint, path, u32), READINGS),
    4: several(array(u32, hash32, hash32, u32, u32, path), READINGS),
    5: several(array(u32, octets(RECORD_MAX), bytes16, u32, u32, path), READINGS),
    6: several(array(text, hash32), 10_000), 7: text, 8: text, 9: text, 10: or_null(octets()),
    11: several(array(below(6), or_null(integer), or_null(text)), 10_000), 12: integer,
    13: several(array(text, text), 64, least=1),
}
HAPPENED = ("recorded", "delivered", "acknowledged", "cleared", "escalated", "given up")


def toml(manifest, what):
    try:
        return tomllib.loads(manifest)
    except ValueError as error:
        raise Refused(f"{what} cannot be read: {error}") from error


def check_rules(statement, alert):
    """The rule is the one the alert names, and was in force with its streams. Gives its manifest and hash."""
    manifest = toml(statement[7], "rule.toml")
    rule_hash = of_parts("pitchside rule v1", statement[7].encode(), statement[8].encode())
    if (manifest.get("name"), manifest.get("version")) != (alert[5], alert[6]) or [alert[5], rule_hash] not in statement[6]:
        raise Refused("the rule in it is not the one the alert names")
    for plugin, script in statement.get(13, []):
        name = f"derived/{toml(plugin, 'plugin.toml').get('name')}"
        if [name, of_parts("pitchside rule v1", plugin.encode(), script.encode())] not in statement[6]:
            raise Refused("a stream in it is not among those that were in force")
    return manifest, rule_hash


def check_alert_id(alert, scope, last):
    """The id follows from rule, subject, quantity and event time; in its second form also from the message that fired."""
    def name(value):
        return bytes([min(len(value.encode()), 255)]) + value.encode()

    subject = b"\x00" + name(alert[8]) if scope == "athlete" and 8 in alert else b"\x01" + name(alert[9])
    about = name(alert[5]) + subject + alert[10].to_bytes(2, "little") + alert[4].to_bytes(8, "little", signed=True)
    forms = [derive_key("pitchside alert id v1", about)]
    if last:
        about += name(last[2]) + last[5].to_bytes(8, "little") + last[6].to_bytes(8, "little")
        forms.append(derive_key("pitchside alert id v2", about))
    if alert[3] not in [form[:16] for form in forms]:
        raise Refused("the alert's id does not follow from what it is about")


def verify_alert(data, policy):
    if len(data) > ALERT_EVIDENCE_MAX:
        raise Refused("the file is too long")
    envelope = fields(self_described(data), {1: uint, 2: octets()}, "the file")[2]
    payload, is_signed_by = sign1(envelope, b"pitchside/alert-evidence/2", "the gateway's statement")
    statement = fields(cbor_exact(payload, "the gateway's statement"), STATEMENT, "the gateway's statement", optional=(13,))
    evidence = fields(self_described(statement[1]), EVIDENCE, "the alert's own file")
    if not is_signed_by(check_header(evidence[8])[2]):
        raise Refused("the statement is not signed by the gateway whose block holds the alert")
    alert, sealed, said = verify_one(statement[1], policy)
    if (alert[1], alert[2]) != (2, 0):
        raise Refused("the record it is about is not an alert that was raised")

    def pointed(key, at):
        if at >= len(statement[key]):
            raise Refused(f"something points beyond the end of key {key}")
        return statement[key][at]

    @functools.cache
    def tree(at):
        return check_checkpoint(pointed(2, at), policy)

    @functools.cache
    def block(at):
        header, leaf_index, log_path, checkpoint = pointed(3, at)
        return leaf_hash(header), check_block(header, leaf_index, log_path, tree(checkpoint))

    for key, at in [(2, row[3]) for row in statement[3]] + [(3, row[0]) for row in statement[4]]:
        pointed(key, at)
    seen, blocks, last = set(), set(), None
    for at, (segment, data, blind, *place) in enumerate(statement[5]):
        in_block, *segment = pointed(4, segment)
        block_hash, header = block(in_block)
        reading = check_record(data, blind, place, segment, header)
        if reading[1] != 1 or header[2] != sealed[2]:
            raise Refused(f"record {at} is not a reading in a block of the same gateway")
        number = reading[2], reading[5], reading[6], reading[7]
        if number in seen or last and reading[11] < last[11]:
            raise Refused(f"reading {at} was shown before, or arrived before the one in front of it")
        seen.add(number)
        blocks.add(block_hash)
        last = reading
    manifest, rule_hash = check_rules(statement, alert)
    check_alert_id(alert, manifest.get("scope", "athlete"), last)
    rules = of_parts("pitchside rule set v1", *[part for name, digest in statement[6] for part in (name.encode(), digest)])
    return {
        **said, "rule_hash": rule_hash.hex(), "rules_in_block": rules == sealed[11], "engine": statement[9],
        "readings": len(statement[5]), "blocks": len(blocks), "evaluated": False,
        "happened": [{"what": HAPPENED[what], "at_us": at, "by": by} for what, at, by in statement[11]],
        "made_at_us": statement[12],
    }


def verify(data, policy):
    """Returns what the evidence says, or raises Refused."""
    if len(data) > ALERT_EVIDENCE_MAX:
        raise Refused("the file is too long")
    if self_described(data).get(1) == 2:
        return verify_alert(data, policy)
    return verify_one(data, policy)[2]


def self_test(vectors_file):
    with open(vectors_file, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(": ") for line in file if ": " in line and not line.startswith("#")]
    vectors = {name: value for name, value in lines}
    policy = read_policy(bytes.fromhex(vectors["policy"]))
    for name in ("evidence-reading", "evidence-alert", "evidence-with-readings"):
        data = bytes.fromhex(vectors[name])
        print(name, "accepted:", json.dumps(verify(data, policy)))
        places = range(0, len(data), 1 if len(data) < 2000 else 7)
        for at in places:
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
        print(name, f"every change refused: {len(places)} of {len(data)} bytes")
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
            data = file.read(ALERT_EVIDENCE_MAX + 1)
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
