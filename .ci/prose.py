#!/usr/bin/env python3
"""Checks the wording of documentation, comments and messages. `make prose` runs it; CONTRIBUTING.md has the rules.

It counts two habits that make prose hard to read, and fails above a limit for each:

- item docs that open with a subordinate clause ("What ...", "Whether ...", "Of ...") instead of a noun phrase or a verb;
- pet words: phrases for which plain English or AWS has a standard term.

Every place is printed when a limit is exceeded, and with `--list`. `--sample N` prints N texts (docs, comments,
messages, paragraphs) drawn at random, to be read by a person: counts alone can be gamed. `--self-test` checks the
check.
"""

import argparse
import random
import re
import subprocess
import sys
from pathlib import Path

# In percent of all item docs.
MAX_CLAUSES = 3
MAX_PET_WORDS = 60

CLAUSE = re.compile(
    r"(What|Whether|How|Where|Those|Of|All that|Who|Whom|Whose|Which|Why|Nothing|Nobody|None|One that)(?![\w`-])"
)
# Phrase and what to write instead.
PET_WORDS = {
    r"anew": "again, new",
    r"whoever": "anyone who, the caller",
    r"nobody": "no one, or say who",
    r"(gone|goes|go|going) on with": "resume",
    r"(passed|passes|pass|passing) over": "skip",
    r"looked at": "checked, read, inspected",
    r"own metadata": "user-defined metadata",
    r"no more as": "changed since",
    r"so many of": "at least N of",
    r"(can|could) be had": "is available",
    r"(is|are) none of": "is not",
    r"none of them is": "not one, no",
    r"as it is": "unchanged",
    r"as they are": "unchanged",
}
PET_WORD = re.compile(rf"\b({'|'.join(PET_WORDS)})\b".replace(" ", r"\s+"), re.IGNORECASE)

DOC_LINE = re.compile(r"\s*//[/!](?!/) ?(.*)")
# Files with prose, other than this one. The test vectors are data.
PROSE = re.compile(r"(.*\.(rs|md|sh|py|toml|yml|yaml)|(.*/)?Makefile|\.ci/[^.]+)")
NOT_PROSE = re.compile(r"tests/vectors/.*|\.ci/prose\.py")


def item_docs(text):
    """(line, first line of text) of each block of doc comments in Rust source."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        match = DOC_LINE.match(line)
        if match and not inside:
            yield number, match[1]
        inside = bool(match)


def pet_words(text):
    """(line, phrase) of each pet word, also of those that a line break divides."""
    # A line break counts as a space, with the indentation and the comment mark behind it. Lengths stay.
    joined = re.sub(r"\\?\n[ \t]*(?://[/!]?|#)?[ \t]*", lambda gap: re.sub(r"[^\n]", " ", gap[0]), text)
    for match in PET_WORD.finditer(joined):
        yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split())


def instead_of(phrase):
    """The words to use instead of a pet word."""
    return next(text for pattern, text in PET_WORDS.items() if re.fullmatch(pattern, phrase, re.IGNORECASE))


RUST_PIECE = re.compile(
    r"""
      (?P<comment> (?: ^[ \t]*//[^\n]*\n )+ | //[^\n]* )
    | (?P<message> [bc]?r(?P<hashes>\#*)".*?"(?P=hashes) | [bc]?"(?:\\.|[^"\\])*" )
    | (?P<char> '(?:\\.|[^\\'])' )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
CODE_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
PARAGRAPH = re.compile(r"(?:^(?![#<|]).+\n?)+", re.MULTILINE)
SHELL_COMMENT = re.compile(r"(?:^[ \t]*#(?!!).*\n)+", re.MULTILINE)


def texts(file, text):
    """(line, text) of each piece of prose in a file: doc blocks, comments, messages, paragraphs."""
    if file.endswith(".rs"):
        pieces = RUST_PIECE.finditer(text)
    elif file.endswith(".md"):
        text = CODE_BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
        pieces = PARAGRAPH.finditer(text)
    else:
        pieces = SHELL_COMMENT.finditer(text)
    for piece in pieces:
        plain = " ".join(re.sub(r"^[ \t]*(//[/!]?|#)|\\$", "", piece[0], flags=re.MULTILINE).split())
        if plain.count(" ") >= 3:
            yield text.count("\n", 0, piece.start()) + 1, plain


def read_files(root):
    """{path: text} of the files with prose, tracked or new."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, text=True, stdout=subprocess.PIPE).stdout.split("\0")
    names = [name for name in listed if PROSE.fullmatch(name) and not NOT_PROSE.fullmatch(name)]
    paths = {name: Path(root, name) for name in sorted(set(names))}
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in paths.items()
        if path.is_file() and not path.is_symlink()
    }


def check(files, max_clauses=MAX_CLAUSES, max_pet_words=MAX_PET_WORDS):
    """Returns (text, places, `True` if the limit holds) of both counts."""
    docs = [(name, *doc) for name, text in files.items() if name.endswith(".rs") for doc in item_docs(text)]
    clauses = [f"{name}:{line}: {doc}" for name, line, doc in docs if CLAUSE.match(doc)]
    share = 100 * len(clauses) / max(len(docs), 1)
    phrases = [
        f"{name}:{line}: {phrase} (instead: {instead_of(phrase)})"
        for name, text in files.items()
        for line, phrase in pet_words(text)
    ]
    return [
        (
            f"item docs that open with a clause: {len(clauses)} of {len(docs)}, {share:.1f} % (limit {max_clauses} %)",
            clauses,
            share <= max_clauses,
        ),
        (f"pet words: {len(phrases)} (limit {max_pet_words})", phrases, len(phrases) <= max_pet_words),
    ]


def self_test():
    """Checks the counts on files with known faults."""
    rust = (
        "//! How it works.\n\n/// Whether it is.\n/// What follows is no opening.\nfn a() {}\n/// Returns what it can.\n"
        "/// `None` if it is absent.\n    /// Nothing.\n//// What: no doc comment\n/// Office hours.\n// Whether: a comment\n"
    )
    clauses, phrases = check({
        "a.rs": rust,
        "b.md": "Anew. What is gone on\nwith by whoever can.\n",
        "c.rs": "// It can be\n    // had renewed as it is.\n",
    })  # fmt: skip
    places = [place.split(" (")[0] for place in phrases[1]]
    want = ["b.md:1: Anew", "b.md:1: gone on with", "b.md:2: whoever", "c.rs:1: can be had", "c.rs:2: as it is"]
    assert places == want, places
    places = [place.rsplit(":", 1)[0] for place in clauses[1]]
    assert places == ["a.rs:1", "a.rs:3"], places
    assert "2 of 4, 50.0 %" in clauses[0] and not clauses[2] and phrases[2], clauses
    assert check({"a.rs": rust}, max_clauses=50)[0][2]
    assert not check({"b.md": "Anew."}, max_pet_words=0)[1][2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print every place")
    parser.add_argument("--sample", type=int, metavar="N", help="print N texts drawn at random")
    parser.add_argument("--seed", type=int, help="seed of the sample, to draw the same texts again")
    parser.add_argument("--self-test", action="store_true", help="check the check")
    options = parser.parse_args()
    if options.self_test:
        self_test()
        print("OK: self-test: clauses and pet words are found")
        return
    files = read_files(Path(__file__).resolve().parent.parent)
    if options.sample:
        drawn = [(name, *piece) for name, text in files.items() for piece in texts(name, text)]
        for name, line, text in random.Random(options.seed).sample(drawn, min(options.sample, len(drawn))):
            print(f"{name}:{line}: {text}\n")
        return
    failed = False
    for text, places, holds in check(files):
        if options.list or not holds:
            print("\n".join(places))
        print(("" if holds else "error: ") + text, file=sys.stdout if holds else sys.stderr)
        failed |= not holds
    sys.exit(failed)


if __name__ == "__main__":
    main()
