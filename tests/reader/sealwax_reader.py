#!/usr/bin/env python3
"""A second reader of sealed objects, written only from docs/FORMAT.md. It opens the vectors in a directory.

R1 to R23 are the numbers of the document's MUSTs. Usage: sealwax_reader.py DIRECTORY
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

MEMBERS = ("place", "scope", "context", "intermediate", "data-key", "keys")
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
    require("intermediate" in group or ("context" not in group and "keys" in group))
    if "scope" in group:
        scope, place = group["scope"], group["place"].encode()
        bucket = re.match(b"arn:[^/]*/[^/]*/|(?!arn:)[^/]*/", place)
        require(type(scope) is int and bucket and bucket.end() <= scope < len(place))
        require(place[scope - 1 : scope] == b"/")
        group["scope"] = place[:scope].decode()


def check_key_context(group, context):
    """Replace the names of the pairs that the intermediate key is bound to by the pairs."""
    names = group.get("context")
    if "context" in group:
        require(isinstance(names, list) and all(isinstance(name, str) for name in names))
        require(names == sorted((name for name in context if name in names), key=str.encode) and len(names) < len(context))
        context = {name: context[name] for name in names}
    group["context"] = context


def parse_keys(text, context):
    """Return the wrapped keys, each with its group, and the groups of intermediate keys."""
    groups = parse_json(text, sort=False)
    require(isinstance(groups, list) and all(isinstance(group, dict) for group in groups))
    kinds = [[group.get(name) for name in MEMBERS[:5]] for group in groups]
    for group in groups:
        require(list(group) == [name for name in MEMBERS if name in group])
        require("keys" not in group or (isinstance(group["keys"], list) and group["keys"]))
        if "place" in group:
            require(isinstance(group["place"], str) and 1 <= len(group["place"].encode()) <= 1280)
        if "data-key" in group:
            group["data-key"] = unbase64(group["data-key"], 60, 60)
        if "intermediate" in group:
            unbase64(group["intermediate"], 32, 32, "-_")
        check_scope(group)
        check_key_context(group, context)
        group["format"] = "v1/intermediate" if "keys" in group else "v1/detached"
    with_keys = [kind for kind, group in zip(kinds, groups) if "keys" in group]
    detached = [kind for kind, group in zip(kinds, groups) if "keys" not in group]
    require(all("keys" in group for group in groups[: len(with_keys)]))
    require(all(kind != after for kind, after in zip(with_keys, with_keys[1:])))
    require(all(kind not in detached[:at] for at, kind in enumerate(detached)))
    wrapped = [(group, key) for group in groups for key in group.get("keys", [])]
    require(1 <= len(wrapped) + len(detached) <= 16)
    require(all(isinstance(key, list) and len(key) == 3 for _, key in wrapped))
    for _, (provider, wrapping_key, _) in wrapped:
        check_names(provider, wrapping_key)
    keys = [(group, provider, name, unbase64(ciphertext, 1, 1024)) for group, (provider, name, ciphertext) in wrapped]
    return keys, [group for group in groups if "intermediate" in group]


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
    def wrap_context(own, **reserved):
        named = {f"sealwax:{name.replace('_', '-')}": value for name, value in reserved.items() if value is not None}
        return b"sealwax/v1/wrap\0" + pairs(own | named)

    place, scope, part, key_id = (group.get(name) for name in MEMBERS[:4])
    of_data_key = wrap_context(context, format="v1", place=place, salt=to_base64(salt), intermediate_id=key_id)
    if key_id is None:
        return open_wrapped(wrapping_key, wrapped, of_data_key)
    r, c = unbase64(key_id, 32, 32, "-_")[:16], unbase64(key_id, 32, 32, "-_")[16:]
    of_intermediate_key = wrap_context(part, format=group["format"], intermediate=to_base64(r, "-_"), scope=scope)
    intermediate_key = open_wrapped(wrapping_key, wrapped, of_intermediate_key)
    if not hmac.compare_digest(expand(intermediate_key, b"sealwax/v1/intermediate-id\0" + r, 16), c):  # R9
        raise InvalidTag
    key = expand(intermediate_key, b"sealwax/v1/data-key\0" + of_data_key, 32)  # R11
    return AESGCM(key).decrypt(group["data-key"][:12], group["data-key"][12:], b"")


def parse_metadata(metadata):
    """Return the keys with the groups of intermediate keys, the header, and the metadata that they come from."""
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
    keys, groups = parse_keys(fields["sealwax-keys"], context)
    if "sealwax-missing" in fields:
        check_missing(fields["sealwax-missing"], keys)
    number(fields["sealwax-generation"], 1, 2**32 - 1)
    header = unbase64(fields["sealwax-header"], 56, 56)
    length = number(fields["sealwax-length"], 0, 2**64 - 1) if "sealwax-length" in fields else None
    return (keys, groups), (context, header, length), fields


def parse_sidecar(sidecar, same):
    """Return the keys of the sidecar if it belongs to the object."""
    require(len(sidecar.encode()) <= 16384)  # R17
    metadata = parse_json(sidecar, sort=True)
    require(isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values()))
    keys, header, fields = parse_metadata(metadata)
    require(fields == metadata)  # in its only spelling, without other names
    require(header == same, "stale")  # R18
    return keys


def short_hash(data):
    return to_base64(hashlib.sha512(data).digest()[:16], "-_")


def key_object_name(group, provider, wrapping_key):
    of_context = short_hash(b"sealwax/v1/key-context\0" + pairs(group["context"]))
    of_key = short_hash(b"sealwax/v1/wrapping-key\0" + provider.encode() + b"\0" + wrapping_key.encode())
    return f"{of_context}/{group['intermediate']}/{of_key}"


def parse_key_object(name, content, group):
    """Return the key of the group, with the wrapped key in this object of the key store."""
    require(len(content.encode()) <= 16384)  # R21
    members = parse_json(content, sort=True)
    required = {"ciphertext", "format", "id", "provider", "wrapping-key"}
    require(isinstance(members, dict) and required <= members.keys() <= required | {"context", "scope"})
    texts = [value for member, value in members.items() if member != "context"]
    require(all(isinstance(value, str) for value in texts))
    check_names(members["provider"], members["wrapping-key"])
    unbase64(members["id"], 32, 32, "-_")
    ciphertext = unbase64(members["ciphertext"], 1, 1024)
    context = parse_context(json.dumps(members["context"], separators=(",", ":"))) if "context" in members else {}
    named = {"context": context, "intermediate": members["id"]}
    require(key_object_name(named, members["provider"], members["wrapping-key"]) == name)
    bound = (context, members.get("scope"), members["id"], members["format"])
    require(bound == (group["context"], group.get("scope"), group["intermediate"], group["format"]))  # R22
    return group, members["provider"], members["wrapping-key"], ciphertext


def find_keys(groups, key_objects, wrapping_keys):
    """Return the keys of the key store for these groups and wrapping keys."""
    keys = []
    for group in groups:
        for name in (key_object_name(group, "local", wrapping_key) for wrapping_key in wrapping_keys):
            try:
                require(name in key_objects)
                keys.append(parse_key_object(name, key_objects[name], group))
            except Refused:
                continue
    return keys


def open_body(stored, header, places, wrapping_keys, key_objects):
    """Return the cipher and base nonce of the body, by its own keys or those of the key store."""
    keys, groups = stored
    accepted = [group for group in groups if places is None or group.get("place") in places]  # R6
    if not keys:  # R20
        require(accepted, "place")
        found = find_keys(accepted, key_objects, wrapping_keys)
        require(found, "no-key-object")
        return open_with(found, header, places, wrapping_keys)
    try:
        return open_with(keys, header, places, wrapping_keys)
    except Refused as refused:
        try:
            found = find_keys(accepted, key_objects, wrapping_keys)
            return open_with(found, header, places, wrapping_keys)  # R23
        except Refused:
            raise refused from None


def open_with(keys, header, places, wrapping_keys):
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


def read(metadata, sidecar, key_objects, body, announced, places, wrapping_keys):
    """Return the plaintext, or raise Refused. If `places` is None, every place is accepted."""
    stored, header, _ = parse_metadata(metadata)
    whole, rest = divmod(announced - 56, 16400)  # R5
    require(announced >= 72 and rest >= 16 and whole < 2**38, "length")
    require(header[2] in (None, whole * 16384 + rest - 16), "length")
    try:
        cipher, nonce = open_body(stored, header, places, wrapping_keys, key_objects)
    except Refused as refused:  # R16
        try:
            require(sidecar is not None)
            stored = parse_sidecar(sidecar, header)
            cipher, nonce = open_body(stored, header, places, wrapping_keys, key_objects)  # R19
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
    key_objects = vector.get("key-objects", {}) if vector.get("key-store", True) else {}
    try:
        settings = (vector["places"], wrapping_keys)
        return "opened", read(vector["metadata"], sidecar, key_objects, body, announced, *settings)
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
