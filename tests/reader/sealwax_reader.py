#!/usr/bin/env python3
"""A second reader of sealed objects, written only from docs/FORMAT.md. It opens the vectors in a directory.

R1 to R19 are the numbers of the document's MUSTs. Usage: sealwax_reader.py DIRECTORY
"""

import base64
import hashlib
import hmac
import json
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MEMBERS = ("place", "scope", "intermediate", "data-key", "keys")
NAMES = {f"sealwax-{name}" for name in ("format", "context", "keys", "missing", "generation", "header", "length")}


class Refused(Exception):
    """A failure of this name. `released` is the plaintext verified before it."""

    def __init__(self, failure, released=b""):
        super().__init__(failure)
        self.failure, self.released = failure, released


def require(condition, failure="malformed"):
    if not condition:
        raise Refused(failure)


def number(text, low, high):
    require(re.fullmatch("0|[1-9][0-9]{0,19}", text) and low <= int(text) <= high)
    return int(text)


def unbase64(text, low, high, last_two="+/"):
    require(isinstance(text, str) and re.fullmatch(f"[A-Za-z0-9{last_two}]*", text))
    require(low <= len(text) * 3 // 4 <= high and len(text) % 4 != 1)
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), last_two)
    require(to_base64(decoded, last_two) == text)
    return decoded


def to_base64(data, last_two="+/"):
    return base64.b64encode(data, last_two.encode()).decode().rstrip("=")


def parse_json(text, sort):
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # fails for a lone surrogate
    except (ValueError, RecursionError):
        raise Refused("malformed") from None
    require(json.dumps(value, separators=(",", ":"), sort_keys=sort) == text)
    return value


def fold(name):
    """Return the name in lower case, as far as it is ASCII."""
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), name)


def parse_context(text):
    context = parse_json(text, sort=True)
    require(isinstance(context, dict) and 1 <= len(context) <= 64)
    require(all(isinstance(value, str) for value in context.values()))
    names = [fold(name) for name in context]
    require(all(name and not name.startswith(("sealwax:", "aws:", "aws-crypto-")) for name in names))
    require(len(set(names)) == len(names))
    return context


def check_names(provider, wrapping_key):
    require(isinstance(provider, str) and re.fullmatch("[a-z0-9-]{1,32}", provider))
    require(isinstance(wrapping_key, str) and re.fullmatch(r"[ !#-\[\]-~]{1,256}", wrapping_key))


def check_missing(text, keys):
    missing = parse_json(text, sort=False)
    require(isinstance(missing, list) and 1 <= len(missing) <= 16)
    for names in missing:
        require(isinstance(names, list) and len(names) == 2)
        check_names(*names)
        require(all(names != [provider, name] for _, provider, name, _ in keys))


def check_scope(group):
    """Check R4. Replace the length of the scope by the scope."""
    require(("intermediate" in group) == ("data-key" in group))
    require(("scope" in group) == ("place" in group and "intermediate" in group))
    if "scope" in group:
        scope, place = group["scope"], group["place"].encode()
        bucket = re.match(b"arn:[^/]*/[^/]*/|(?!arn:)[^/]*/", place)
        require(type(scope) is int and bucket and bucket.end() <= scope < len(place))
        require(place[scope - 1 : scope] == b"/")
        group["scope"] = place[:scope].decode()


def parse_keys(text):
    groups = parse_json(text, sort=False)
    require(isinstance(groups, list) and all(isinstance(group, dict) for group in groups))
    for group in groups:
        require(list(group) == [name for name in MEMBERS if name in group])
        require(isinstance(group.get("keys"), list) and group["keys"])
        if "place" in group:
            require(isinstance(group["place"], str) and 1 <= len(group["place"].encode()) <= 1280)
        if "data-key" in group:
            group["data-key"] = unbase64(group["data-key"], 60, 60)
        if "intermediate" in group:
            unbase64(group["intermediate"], 32, 32, "-_")
        check_scope(group)
    kinds = [[group.get(name) for name in MEMBERS[:4]] for group in groups]
    require(all(kind != after for kind, after in zip(kinds, kinds[1:])))
    keys = [(group, *key) for group in groups for key in group["keys"] if isinstance(key, list) and len(key) == 3]
    require(1 <= len(keys) <= 16 and len(keys) == sum(len(group["keys"]) for group in groups))
    for _, provider, wrapping_key, _ in keys:
        check_names(provider, wrapping_key)
    return [(group, provider, name, unbase64(wrapped, 1, 1024)) for group, provider, name, wrapped in keys]


def pairs(context):
    encoded = sorted((name.encode(), value.encode()) for name, value in context.items())
    texts = b"".join(len(text).to_bytes(4, "big") + text for pair in encoded for text in pair)
    return len(encoded).to_bytes(4, "big") + texts


def expand(key, info, length):
    """HKDF-Expand-SHA512."""
    first = hmac.digest(key, info + b"\1", "sha512")
    return (first + hmac.digest(key, first + info + b"\2", "sha512"))[:length]


def derive(key, header, context):
    """Check the commitment of a body. Return its cipher and base nonce."""
    derived = expand(key, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + header[:24] + context, 76)
    if not hmac.compare_digest(derived[44:76], header[24:56]):
        raise InvalidTag
    return AESGCM(derived[:32]), int.from_bytes(derived[32:44], "big")


def open_wrapped(wrapping_key, wrapped, wrap_context):
    if len(wrapped) != 104:
        raise InvalidTag
    cipher, nonce = derive(wrapping_key, wrapped[:56], wrap_context)
    return cipher.decrypt(nonce.to_bytes(12, "big"), wrapped[56:], b"")


def unwrap(wrapping_key, group, wrapped, context, salt):
    def wrap_context(**reserved):
        named = {f"sealwax:{name.replace('_', '-')}": value for name, value in reserved.items() if value is not None}
        return b"sealwax/v1/wrap\0" + pairs(context | named)

    place, scope, key_id = (group.get(name) for name in MEMBERS[:3])
    of_data_key = wrap_context(format="v1", place=place, salt=to_base64(salt), intermediate_id=key_id)
    if key_id is None:
        return open_wrapped(wrapping_key, wrapped, of_data_key)
    r, c = unbase64(key_id, 32, 32, "-_")[:16], unbase64(key_id, 32, 32, "-_")[16:]
    of_intermediate_key = wrap_context(format="v1/intermediate", intermediate=to_base64(r, "-_"), scope=scope)
    intermediate_key = open_wrapped(wrapping_key, wrapped, of_intermediate_key)
    if not hmac.compare_digest(expand(intermediate_key, b"sealwax/v1/intermediate-id\0" + r, 16), c):  # R9
        raise InvalidTag
    key = expand(intermediate_key, b"sealwax/v1/data-key\0" + of_data_key, 32)  # R11
    return AESGCM(key).decrypt(group["data-key"][:12], group["data-key"][12:], b"")


def parse_metadata(metadata):
    """Return the keys, the header, and the metadata that they come from."""
    folded = [(fold(name), value) for name, value in metadata.items()]
    ours = [(name, value) for name, value in folded if name.startswith("sealwax")]
    require(sum(len(name.encode()) + len(value.encode()) for name, value in ours) <= 8192)  # R2
    fields = dict(ours)
    require(len(fields) == len(ours))
    require(fields.keys() & NAMES, "not-sealed")  # R1
    require("sealwax-format" in fields)
    require(fields["sealwax-format"] == "v1+Cobblestone-256", "unsupported")
    require(fields.keys() <= NAMES and {"sealwax-keys", "sealwax-generation", "sealwax-header"} <= fields.keys())  # R3
    context = parse_context(fields["sealwax-context"]) if "sealwax-context" in fields else {}
    keys = parse_keys(fields["sealwax-keys"])
    if "sealwax-missing" in fields:
        check_missing(fields["sealwax-missing"], keys)
    number(fields["sealwax-generation"], 1, 2**32 - 1)
    header = unbase64(fields["sealwax-header"], 56, 56)
    length = number(fields["sealwax-length"], 0, 2**64 - 1) if "sealwax-length" in fields else None
    return keys, (context, header, length), fields


def parse_sidecar(sidecar, same):
    """Return the keys of the sidecar if it belongs to the object."""
    require(len(sidecar.encode()) <= 16384)  # R17
    metadata = parse_json(sidecar, sort=True)
    require(isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values()))
    keys, header, fields = parse_metadata(metadata)
    require(fields == metadata)  # in its only spelling, without other names
    require(header == same, "stale")  # R18
    return keys


def open_body(keys, header, places, wrapping_keys):
    """Return the cipher and base nonce of the body, from the first key that opens."""
    context, body_header, _ = header
    keys = [key for key in keys if places is None or key[0].get("place") in places]  # R6
    require(keys, "place")
    keys = [key for key in keys if key[1] == "local" and key[2] in wrapping_keys]  # R7
    require(keys, "no-matching-key")
    for group, _, name, wrapped in keys:  # R8
        try:
            data_key = unwrap(wrapping_keys[name], group, wrapped, context, body_header[:24])
            break
        except InvalidTag:
            continue
    else:
        raise Refused("unwrap")
    try:
        return derive(data_key, body_header, b"sealwax/v1\0" + pairs(context))
    except InvalidTag:
        raise Refused("commitment") from None  # R12


def read(metadata, sidecar, body, announced, places, wrapping_keys):
    """Return the plaintext, or raise Refused. If `places` is None, every place is accepted."""
    keys, header, _ = parse_metadata(metadata)
    whole, rest = divmod(announced - 56, 16400)  # R5
    require(announced >= 72 and rest >= 16 and whole < 2**38, "length")
    require(header[2] in (None, whole * 16384 + rest - 16), "length")
    try:
        cipher, nonce = open_body(keys, header, places, wrapping_keys)
    except Refused as refused:  # R16
        try:
            require(sidecar is not None)
            cipher, nonce = open_body(parse_sidecar(sidecar, header), header, places, wrapping_keys)  # R19
        except Refused:
            raise refused from None
    require(len(body) < 56 or body[:56] == header[1], "header-mismatch")  # R13
    plaintext = b""
    for k in range(whole + 1):  # R14
        begin, length = 56 + k * 16400, 16400 if k < whole else rest
        if len(body) < begin + length:
            raise Refused("truncated", plaintext)
        try:
            plaintext += cipher.decrypt((nonce ^ k).to_bytes(12, "big"), body[begin : begin + length], b"")
        except InvalidTag:
            raise Refused(f"chunk {k}", plaintext) from None
    return plaintext


def outcome(vector):
    body = base64.b64decode(vector["body"])
    wrapping_keys = {name: bytes.fromhex(key) for name, key in vector["wrapping-keys"].items()}
    announced = vector.get("announced", len(body))
    sidecar = vector.get("sidecar") if vector.get("sidecars", True) else None
    try:
        return "opened", read(vector["metadata"], sidecar, body, announced, vector["places"], wrapping_keys)
    except Refused as refused:
        return refused.failure, refused.released


def main(directory):
    files = sorted(Path(directory).glob("*.json"))
    counts, wrong = {}, 0
    for file in files:
        vector = json.loads(file.read_text("utf-8"))
        result, released = outcome(vector)
        digest = {"length": len(released), "sha256": hashlib.sha256(released).hexdigest()}
        if (result, digest) != (vector["expect"], vector["released"]):
            wrong += 1
            print(f"{file.name}: {result} and {digest}, not {vector['expect']} and {vector['released']}")
        layer = result.split()[0]
        counts[layer] = counts.get(layer, 0) + 1
    print(f"{len(files)} vectors, {wrong} with another result:", ", ".join(f"{n} {layer}" for layer, n in sorted(counts.items())))
    return 0 if files and not wrong else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
