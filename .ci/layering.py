#!/usr/bin/env python3
"""Checks the structure of the workspace. `make layering` runs it; every violation is printed.

1. Crates depend only on the crates below them, and bring no dependency that a rule refuses (CRATES).
2. No import circle between sibling modules, in any crate, at any level. References count as imports: `use`
   declarations, paths in code, and paths in attribute strings. A path through a re-export counts as an import of the
   module that defines the item. Code under `#[cfg(test)]` doesn't count.
3. Modules of crates/s3 import only modules of their own floor or of lower floors (FLOORS).
4. Unsafe code stands only in UNSAFE_FILES.

`--self-test` runs the checks on small trees made for it, each with one fault, and on trees without a fault.
Python 3.11; the standard library and `cargo` are all it needs.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

# The floors of crates/s3, from the bottom. A module of crates/s3 that has no floor is a violation.
FLOORS = [
    ("attempts", "aws_hosts", "backoff", "blocking", "buffer_pool", "causes", "default_http", "error", "limited_http", "limits", "memory", "plain_http", "progress", "rate_limited_http", "request_headers", "sdk_limits",
     "single_flight", "uri", "whole_answers"),
    ("kms", "store"),
    ("format", "object", "object_state", "places", "s3ec"),
    ("vault",),
    ("download", "upload"),
    ("operation",),
    ("client",),
    ("testing",),
]
FLOORS_OF = "sealwax-s3"


@dataclass(frozen=True)
class Rule:
    """Limits of one crate's dependencies. The patterns match the whole name of a crate."""

    # Allowed crates of the workspace, direct and indirect.
    on: tuple = ()
    # Refused crates, direct and indirect.
    refuse: str = ""
    # Crates refused in its manifest only: a dependency may bring them.
    refuse_direct: str = ""


_S3 = ("sealwax-s3", "sealwax-envelope", "sealwax-files", "sealwax-aws-lc")
_JOBS = ("sealwax-jobs", *_S3)
# Crates that aren't listed (tests, examples, benchmarks) stand on top: none of the listed crates may depend on them.
CRATES = {
    # The one crate with unsafe code.
    "sealwax-aws-lc": Rule(refuse="aws-lc-rs|(tokio|hyper)(-.*)?"),
    # The pure core: no AWS SDK, no runtime, no HTTP.
    "sealwax-envelope": Rule(
        on=("sealwax-aws-lc",),
        refuse="aws-(sdk-|config|smithy-|runtime|types).*|(tokio|hyper|reqwest)(-.*)?",
    ),
    # Local files: usable by every crate but the envelope.
    "sealwax-files": Rule(refuse="aws-.*|(tokio|hyper|reqwest)(-.*)?"),
    # The formats of inventories belong to the jobs. The SDK brings md-5 for checksums.
    "sealwax-s3": Rule(
        on=("sealwax-envelope", "sealwax-files", "sealwax-aws-lc"), refuse="csv|flate2|parquet", refuse_direct="md-5"
    ),
    "sealwax-jobs": Rule(on=_S3),
    # No HTTP client of its own.
    "sealwax-object-store": Rule(on=_S3, refuse="reqwest|quick-xml"),
    "sealwax-lambda": Rule(on=_JOBS, refuse="lambda.*|reqwest|csv|flate2|parquet"),
    "sealwax-gateway": Rule(on=_S3, refuse="reqwest|csv|flate2|parquet"),
    "sealwax-cli": Rule(on=(*_JOBS, "sealwax-gateway")),
}

UNSAFE_FILES = ("crates/aws-lc/src/gcm/context.rs", "crates/aws-lc/src/oaep.rs")


# --- Crates ---------------------------------------------------------------------------------------------------------


def cargo(root, *arguments):
    """Runs cargo in `root` and returns its standard output."""
    done = subprocess.run(["cargo", *arguments], check=False, cwd=root, text=True, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"error: cargo {arguments[0]} failed")
    return done.stdout


def read_metadata(root):
    """The packages of the workspace in `root`, by name."""
    metadata = json.loads(cargo(root, "metadata", "--no-deps", "--format-version", "1"))
    return {package["name"]: package for package in metadata["packages"]}


def check_crates(root, packages, rules):
    """Violations of `rules` by the packages that exist."""
    violations = []
    for name in sorted(rules.keys() & packages.keys()):
        rule = rules[name]
        tree = cargo(
            root, "tree", "--locked", "--package", name, "--edges", "normal", "--all-features", "--prefix", "none",
            "--format", "{p}",
        )  # fmt: skip
        built_from = {line.split()[0] for line in tree.splitlines() if line.strip()} - {name}
        refused = built_from & packages.keys() - set(rule.on)
        refused |= {other for other in built_from if re.fullmatch(rule.refuse, other)}
        for other in sorted(refused):
            violations.append(
                f"{name} must not depend on {other}; see: "
                f"cargo tree --package {name} --edges normal --all-features --invert {other}"
            )
        direct = {d["name"] for d in packages[name]["dependencies"] if d["kind"] is None}
        for other in sorted(d for d in direct if re.fullmatch(rule.refuse_direct, d)):
            violations.append(f"{name} must not depend on {other} directly")
    return violations


# --- Rust source ----------------------------------------------------------------------------------------------------

TOKEN = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\*)
    | (?P<string> [bc]?r(?P<hashes>\#*)".*?"(?P=hashes) | [bc]?"(?:\\.|[^"\\])*")
    | (?P<char> b?'(?:\\u\{[^}]*\} | \\x.. | \\. | [^\\'])')
    | (?P<lifetime> '\w+)
    | (?P<word> (?:r\#)?[A-Za-z_]\w*)
    | (?P<number> \d\w*)
    | (?P<mark> :: | => | -> | \S)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    text: str
    kind: str
    line: int


def tokenize(text):
    """The tokens of Rust source, without comments."""
    tokens, position, line, counted = [], 0, 1, 0
    while match := TOKEN.search(text, position):
        start, position = match.span()
        line += text.count("\n", counted, start)
        counted = start
        kind = match.lastgroup if match.lastgroup != "hashes" else "string"
        if kind == "comment":
            if match.group() == "/*":  # block comments nest
                depth = 1
                while depth and (edge := re.compile(r"/\*|\*/").search(text, position)):
                    depth += 1 if edge.group() == "/*" else -1
                    position = edge.end()
            continue
        tokens.append(Token(match.group().removeprefix("r#") if kind == "word" else match.group(), kind, line))
    return tokens


def is_test_only(tokens):
    """`True` if the tokens of an attribute are a `cfg` that holds in tests alone."""
    if [token.text for token in tokens[:2]] != ["cfg", "("]:
        return False

    def evaluate(i):
        """The value of the predicate at `i` outside of tests (None: unknown), and the index behind it."""
        name = tokens[i].text
        if i + 1 < len(tokens) and tokens[i + 1].text == "(":
            values, i = [], i + 2
            while tokens[i].text != ")":
                if tokens[i].text == ",":
                    i += 1
                    continue
                value, i = evaluate(i)
                values.append(value)
            if name == "not":
                return (None if values[0] is None else not values[0]), i + 1
            decisive = name == "any"
            if decisive in values:
                return decisive, i + 1
            return (None if None in values else not decisive), i + 1
        if i + 1 < len(tokens) and tokens[i + 1].text == "=":
            return None, i + 3
        return (False if name == "test" else None), i + 1

    return evaluate(2)[0] is False


@dataclass
class Module:
    """Declarations and references in the source of one module."""

    file: Path
    # Folder of its child modules' files.
    folder: Path
    children: set = field(default_factory=set)
    items: set = field(default_factory=set)
    # Local name to the paths that `use` gives it (several under `cfg`).
    bindings: dict = field(default_factory=lambda: defaultdict(list))
    globs: list = field(default_factory=list)
    # (path, line) of each reference.
    references: list = field(default_factory=list)


ITEM_WORDS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
ITEM_START = ITEM_WORDS | {"mod", "use", "impl", "macro_rules", "extern", "unsafe", "async", "pub"}
OPEN, CLOSE = {"(", "[", "{"}, {")", "]", "}"}


class Crate:
    """The modules below one root file, by path: `()` is the root, `("store", "server_copy")` is `crate::store::server_copy`."""

    def __init__(self, root_file):
        self.modules = {}
        root_file = Path(root_file)
        self.load((), root_file, root_file.parent)

    def load(self, path, file, folder):
        """Reads the file of a module, and the files of its children."""
        tokens = tokenize(file.read_text(encoding="utf-8"))
        self.modules[path] = Module(file, folder)
        self.parse(path, tokens)

    def load_child(self, path, name, named_file):
        """Reads the file of the child `name` of the module at `path`."""
        parent = self.modules[path]
        if named_file:
            candidates = [parent.file.parent / named_file]
        else:
            candidates = [parent.folder / f"{name}.rs", parent.folder / name / "mod.rs"]
        for file in candidates:
            if file.is_file():
                folder = file.parent if file.name == "mod.rs" else file.with_suffix("")
                self.load((*path, name), file, folder)
                return
        sys.exit(f"error: {parent.file}: no file for `mod {name}`")

    def parse(self, path, tokens):
        """Fills the module at `path`, and the inline modules in it, from the tokens of a file."""
        file, here = self.modules[path].file, path
        scopes = []  # per open brace: the module outside of it if it opens one, else None
        i, named_file = 0, None
        while i < len(tokens):
            token, module = tokens[i], self.modules[here]
            text = token.text
            if text == "#" and (inner := self.attribute(tokens, i)):
                begin, end = inner
                if is_test_only(tokens[begin:end]):
                    if tokens[i + 1].text == "!":
                        return  # the whole file
                    i = self.behind_item(tokens, end + 1)
                    continue
                for k in range(begin, end):
                    if tokens[k].kind == "string":
                        content = tokens[k].text.strip('"')
                        if tokens[begin].text == "path":
                            named_file = content
                        elif re.fullmatch(r"\w+(::\w+)+", content):
                            module.references.append((content.split("::"), tokens[k].line))
                i = begin
                continue
            if token.kind == "word" and text == "use" and self.previous(tokens, i) != "(":
                i = self.parse_use(module, tokens, i + 1)
                continue
            if text == "mod" and token.kind == "word" and tokens[i + 1].kind == "word":
                name, after = tokens[i + 1].text, tokens[i + 2].text
                if after == ";":
                    module.children.add(name)
                    self.load_child(here, name, named_file)
                elif after == "{":
                    module.children.add(name)
                    scopes.append(here)
                    here = (*here, name)
                    self.modules[here] = Module(file, module.folder / name)
                i, named_file = i + 3, None
                continue
            if text == "{":
                scopes.append(None)
            elif text == "}" and scopes:
                outside = scopes.pop()
                here = here if outside is None else outside
            elif token.kind == "word":
                at_module_level = not scopes or scopes[-1] is not None
                if at_module_level and text in ITEM_WORDS and tokens[i + 1].kind == "word":
                    module.items.add(tokens[i + 2 if tokens[i + 1].text == "mut" else i + 1].text)
                elif at_module_level and text == "macro_rules" and tokens[i + 1].text == "!":
                    module.items.add(tokens[i + 2].text)
                elif self.follows(tokens, i, "::") and self.previous(tokens, i) != "::":
                    segments, k = [text], i
                    while self.follows(tokens, k, "::") and k + 2 < len(tokens) and tokens[k + 2].kind == "word":
                        segments.append(tokens[k + 2].text)
                        k += 2
                    module.references.append((segments, token.line))
                    i = k
            i += 1

    @staticmethod
    def previous(tokens, i):
        return tokens[i - 1].text if i else ""

    @staticmethod
    def follows(tokens, i, text):
        return i + 1 < len(tokens) and tokens[i + 1].text == text

    @staticmethod
    def attribute(tokens, i):
        """The range of tokens between the brackets of the attribute at `i`; None if there is no attribute."""
        begin = i + 1 + (tokens[i + 1].text == "!")
        if tokens[begin].text != "[":
            return None
        depth, end = 1, begin + 1
        while depth:
            depth += (tokens[end].text in OPEN) - (tokens[end].text in CLOSE)
            end += 1
        return begin + 1, end - 1

    def behind_item(self, tokens, i):
        """The index behind the item, field, variant, arm or statement that begins at `i`."""
        while tokens[i].text == "#" and (inner := self.attribute(tokens, i)):
            i = inner[1] + 1
        first = tokens[i].text
        is_item, needs_semicolon = first in ITEM_START, False
        depth = 0
        while i < len(tokens):
            text = tokens[i].text
            if depth == 0 and text in {"use", "const", "static", "let", "type"} and not self.follows(tokens, i, "fn"):
                needs_semicolon = True
            if text in OPEN:
                depth += 1
            elif text in CLOSE:
                depth -= 1
                if depth < 0:
                    return i
                if depth == 0 and text == "}" and not needs_semicolon:
                    return i + 1
            elif depth == 0 and (text == ";" or (text == "," and not is_item)):
                return i + 1
            i += 1
        return i

    def parse_use(self, module, tokens, i):
        """Reads the tree of a `use` declaration that begins at `i`; returns the index behind its semicolon."""

        def tree(i, prefix):
            line = tokens[i].line
            if tokens[i].text == "::":
                prefix, i = ["::"], i + 1
            path = list(prefix)
            while True:
                token = tokens[i]
                if token.text == "{":
                    i += 1
                    while tokens[i].text != "}":
                        i = tree(i, path)
                        i += tokens[i].text == ","
                    return i + 1
                if token.text == "*":
                    module.globs.append(path)
                    module.references.append((path, line))
                    return i + 1
                if not (token.text == "self" and path):
                    path.append(token.text)
                i += 1
                if tokens[i].text == "::":
                    i += 1
                    continue
                name = path[-1]
                if tokens[i].text == "as":
                    name, i = tokens[i + 1].text, i + 2
                module.references.append((path, line))
                if name != "_":
                    module.bindings[name].append(path)
                return i

        i = tree(i, [])
        return i + 1

    # --- Names ---

    def resolve(self, here, path, seen=frozenset()):
        """The modules that the path, written in the module `here`, leads to; empty if it leads out of the crate.

        A module that re-exports the item is one of them, beside the module that defines it.
        """
        first, rest = path[0], path[1:]
        if first in ("crate", "$crate"):
            return self.walk((), rest, seen) or {self.deepest((), rest)}
        if first in ("self", "super"):
            module = here if first == "self" else here[:-1]
            while rest and rest[0] == "super":
                module, rest = module[:-1], rest[1:]
            return self.walk(module, rest, seen) or {self.deepest(module, rest)}
        return self.walk(here, path, seen)

    def deepest(self, module, path):
        """The last module of the path before a name that isn't known (an external crate's, or a macro's)."""
        for name in path:
            if name not in self.modules[module].children:
                break
            module = (*module, name)
        return module

    def walk(self, at, path, seen):
        """`resolve` for a path that begins in the module `at`."""
        if not path:
            return {at}
        module, name = self.modules[at], path[0]
        if name in module.children:
            return self.walk((*at, name), path[1:], seen) or {self.deepest(at, path)}
        if name in module.items:
            return {at}
        if (at, name) in seen:
            return set()
        seen = seen | {(at, name)}
        found = set()
        for target in module.bindings.get(name, ()):
            # The rest of the path matters only if the name is a module.
            found |= self.resolve(at, [*target, *path[1:]], seen)
        if name not in module.bindings:
            for target in module.globs:
                for source in self.resolve(at, target, seen):
                    if source != at:
                        found |= self.walk(source, path, seen)
        return found | {at} if found else found

    def imports(self):
        """(importing module, imported module, file, line, path as written), once for each reference and target."""
        for here, module in sorted(self.modules.items()):
            for path, line in module.references:
                if path[0] in module.bindings and path[0][0].isupper():
                    continue  # an imported type: its `use` counts
                for target in sorted(self.resolve(here, path)):
                    yield here, target, module.file, line, "::".join(path)

    def levels(self):
        """Per folder of siblings: edges between them, `{parent: {(importer, imported): [place, …]}}`."""
        levels = defaultdict(lambda: defaultdict(list))
        for here, target, file, line, path in self.imports():
            common = 0
            while common < min(len(here), len(target)) and here[common] == target[common]:
                common += 1
            if common < min(len(here), len(target)):
                place = f"{file}:{line}: {path}"
                places = levels[here[:common]][here[common], target[common]]
                if place not in places:
                    places.append(place)
        return levels


def components(edges):
    """Strongly connected components of two or more nodes (Tarjan)."""
    after = defaultdict(set)
    for one, other in edges:
        after[one].add(other)
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(after[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            component = stack[cut:]
            del stack[cut:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(after):
        if node not in index:
            visit(node)
    return found


def places_of(edges):
    """The edges with the lines that make them, as indented text."""
    text = []
    for (one, other), places in sorted(edges.items()):
        text.append(f"  {one} -> {other}")
        text += [f"    {place}" for place in places]
    return "\n".join(text)


def check_circles(label, levels):
    """Import circles between siblings."""
    violations = []
    for parent, edges in sorted(levels.items()):
        for component in components(edges):
            inside = {edge: places for edge, places in edges.items() if edge[0] in component and edge[1] in component}
            name = "::".join(("crate", *parent))
            violations.append(f"{label}: import circle in {name}: {', '.join(component)}\n{places_of(inside)}")
    return violations


def check_floors(label, modules, edges, floors):
    """Imports of a higher floor, and modules without a floor."""
    floor_of = {name: floor for floor, names in enumerate(floors) for name in names}
    violations = [
        f"{label}: module {name} has no floor (FLOORS in .ci/layering.py)" for name in sorted(modules - floor_of.keys())
    ]
    upward = {
        (one, other): places
        for (one, other), places in edges.items()
        if one in floor_of and other in floor_of and floor_of[one] < floor_of[other]
    }
    if upward:
        violations.append(f"{label}: imports of a higher floor\n{places_of(upward)}")
    return violations


def unsafe_lines(text):
    """Lines of Rust source with unsafe code."""
    tokens = tokenize(text)
    return [
        token.line
        for token, after in itertools.pairwise(tokens)
        if token.kind == "word" and token.text == "unsafe" and after.text in {"{", "fn", "impl", "extern", "trait"}
    ]


def check_unsafe(root, files, allowed):
    """Unsafe code in files other than those allowed."""
    return [
        f"unsafe code outside of {' and '.join(allowed)}: {file}:{line}"
        for file in files
        if file not in allowed and (root / file).is_file()
        for line in unsafe_lines((root / file).read_text(encoding="utf-8"))
    ]


# --- The workspace --------------------------------------------------------------------------------------------------

# Test targets don't count, and build scripts are one file.
CODE_TARGETS = {"lib", "rlib", "bin", "bench", "example"}


def check_workspace(root):
    """Checks the workspace in `root`; returns its violations and a summary."""
    os.chdir(root)
    packages = read_metadata(root)
    violations = check_crates(root, packages, CRATES)
    modules = 0
    for name, package in sorted(packages.items()):
        for target in package["targets"]:
            if not CODE_TARGETS & set(target["kind"]):
                continue
            crate = Crate(Path(os.path.relpath(target["src_path"], root)))
            modules += len(crate.modules)
            label, levels = os.path.relpath(target["src_path"], root), crate.levels()
            violations += check_circles(label, levels)
            if name == FLOORS_OF and "bin" not in target["kind"] and "bench" not in target["kind"]:
                siblings = {path[0] for path in crate.modules if len(path) == 1}
                violations += check_floors(label, siblings, levels[()], FLOORS)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.rs"]
    files = subprocess.run(listed, cwd=root, check=True, text=True, stdout=subprocess.PIPE).stdout.split("\0")
    violations += check_unsafe(root, [file for file in files if file], UNSAFE_FILES)
    return violations, f"{len(packages)} crates, {modules} modules"


# --- Self-test ------------------------------------------------------------------------------------------------------

# (name, {file: source}, the circles that must be found)
CIRCLES = [
    ("use declarations", {
        "lib.rs": "mod a; mod b; mod c;",
        "a.rs": "use crate::{c::C, b::{self, B}};",
        "b.rs": "use super::a::A; pub struct B;",
        "c.rs": "pub struct C;",
    }, [["a", "b"]]),
    ("inline paths", {
        "lib.rs": "mod a; mod b;",
        "a.rs": "pub fn f(_: crate::b::B) {}",
        "b.rs": "pub struct B; fn g() { use super::a as other; other::f(B) }",
    }, [["a", "b"]]),
    ("re-exports by the parent", {
        "lib.rs": "mod a; mod b; pub use self::{a::A, b::*};",
        "a.rs": "use crate::B; pub struct A;",
        "b.rs": "use crate::A; pub struct B;",
    }, [["a", "b"]]),
    ("re-export by a sibling", {
        "lib.rs": "mod a; mod b; mod c;",
        "a.rs": "pub use crate::c::C; use crate::b::B;",
        "b.rs": "use crate::a::C; pub struct B;",
        "c.rs": "pub struct C;",
    }, [["a", "b"]]),
    ("three modules, below and beside one another", {
        "lib.rs": "mod a; mod b; mod c;",
        "a.rs": "mod deep;",
        "a/deep.rs": "use crate::b::B;",
        "b.rs": "mod deeper { use crate::c; fn f() { c::f() } } pub struct B;",
        "c.rs": "pub fn f() { let _ = crate::a::Missing; }",
    }, [["a", "b", "c"]]),
    ("a level below", {
        "lib.rs": "mod outer;",
        "outer.rs": "mod a; mod b;",
        "outer/a.rs": "use super::b;",
        "outer/b.rs": '#[serde(with = "super::a::text")] pub struct B;',
    }, [["a", "b"]]),
    ("no circle: comments, strings, tests, other crates, parent and child", {
        "lib.rs": "mod a; mod b; mod serde; pub struct Root; use self::a::A;",
        "a.rs": """
            // crate::b::B
            /* /* */ crate::b::B */
            use crate::Root;
            pub struct A<'a>(&'a str); const C: char = '"';
            #[doc = "x"] const S: &str = "crate::b::B"; const R: &str = r#"" crate::b::B"#;
            #[cfg(test)] mod tests { use crate::b::B; }
            #[cfg(test)] use crate::{b::B, Root as R2};
            #[cfg(all(test, unix))] fn f<X, Y>() { crate::b::f() }
            use ::serde::De; use serde_json::b;
        """,
        "b.rs": "use crate::a::A; #[cfg(not(test))] fn g() { crate::serde::f() }",
        "serde.rs": "use serde::Deserialize; pub fn f() {}",
    }, []),
    ("a circle under a feature that tests turn on too", {
        "lib.rs": "mod a; mod b;",
        "a.rs": '#[cfg(any(test, feature = "x"))] use crate::b::B;',
        "b.rs": "use crate::a;",
    }, [["a", "b"]]),
]


def write_tree(folder, files):
    for name, text in files.items():
        file = Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def self_test():
    """Runs the checks on trees with known faults; returns the wrong results."""
    faults = []

    def expect(name, want, got):
        if want != got:
            faults.append(f"self-test: {name}: expected {want}, got {got}")

    for name, files, want in CIRCLES:
        with tempfile.TemporaryDirectory() as folder:
            write_tree(folder, files)
            levels = Crate(Path(folder, "lib.rs")).levels()
            expect(name, want, [found for edges in levels.values() for found in components(edges)])
            expect(f"{name}: report", len(want), len(check_circles("x", levels)))

    with tempfile.TemporaryDirectory() as folder:
        write_tree(folder, {
            "lib.rs": "mod low; mod high; mod top; pub use high::H;",
            "low.rs": "use crate::H;",
            "high.rs": "pub struct H;",
            "top.rs": "use crate::{low, high};",
        })
        levels = Crate(Path(folder, "lib.rs")).levels()
        edges, modules = levels[()], {"low", "high", "top"}
        floors = [("low", "missing"), ("high",), ("top",)]
        broken = check_floors("x", modules, edges, floors)
        expect("broken floor", [True], ["low -> high" in text and "low.rs:1: crate::H" in text for text in broken])
        expect("whole floors", [], check_floors("x", modules, edges, [("high",), ("low",), ("top",)]))
        expect("module without a floor", 1, len(check_floors("x", modules, edges, [("high",), ("low",)])))

    with tempfile.TemporaryDirectory() as folder:
        package = '[package]\nname = "{0}"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\n{1}\n'
        members = {"low": "", "middle": 'low = { path = "../low" }', "high": 'middle = { path = "../middle" }'}
        write_tree(folder, {"Cargo.toml": f"[workspace]\nresolver = '3'\nmembers = {list(members)}\n"})
        for name, dependencies in members.items():
            write_tree(Path(folder, name), {"Cargo.toml": package.format(name, dependencies), "src/lib.rs": ""})
        cargo(folder, "generate-lockfile", "--offline", "--quiet")
        packages = read_metadata(folder)

        def crates(**rules):
            found = check_crates(folder, packages, rules)
            return [re.match(r"(\S+) must not depend on (\w+)", text).groups() for text in found]

        expect("crates in order", [], crates(low=Rule(), middle=Rule(on=("low",)), absent=Rule(refuse="x")))
        expect("crate above", [("middle", "low")], crates(middle=Rule()))
        expect("indirect dependency", [("high", "low")], crates(high=Rule(on=("middle", "low"), refuse="low")))
        expect("direct dependency", [("high", "middle")], crates(
            high=Rule(on=("middle", "low"), refuse_direct="low|middle")
        ))

        write_tree(folder, {"a.rs": "// unsafe {\nunsafe { f() }", "b.rs": 'const S: &str = "unsafe {";'})
        expect("unsafe code", ["a.rs:2"], [t.rsplit(" ", 1)[1] for t in check_unsafe(Path(folder), ["a.rs", "b.rs"], [])])
        expect("unsafe code in its file", [], check_unsafe(Path(folder), ["a.rs", "b.rs"], ["a.rs"]))
    return faults


def main(arguments):
    if arguments not in ([], ["--self-test"]):
        sys.exit("usage: layering.py [--self-test]")
    if arguments:
        violations, summary = self_test(), "self-test: circles, floors, crates and unsafe code are found"
    else:
        violations, summary = check_workspace(Path(__file__).resolve().parent.parent)
    for violation in violations:
        print(f"error: {violation}", file=sys.stderr)
    if violations:
        sys.exit(f"error: {len(violations)} violations")
    print(f"OK: {summary}")


if __name__ == "__main__":
    main(sys.argv[1:])
