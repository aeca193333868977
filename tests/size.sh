#!/bin/sh
# Measures the production code in src/ and fails when it is above the limit that is in force.
#
# usage: tests/size.sh [--deploys]
#   --deploys  also measures a daemon for deploys alone: builds without default features, and counts the files of that build
#
# A code line is a line on which something is left without comments (line, block and doc comments). Code characters are
# Unicode characters of these lines, without the comments and without leading and trailing blanks; 1 kB is 1000 of them.
# Test code is left out: what is compiled only under cfg(test) (items, modules, and the files of such modules, by `mod` and
# #[path]) and *_tests.rs. A file that no module names is counted.
set -u
cd "$(dirname "$0")/.." || exit 1

# Which row of the table is in force.
current=house

# The sizes that src/ may have after each piece of work, in code lines; the first row has a limit in kB of code characters
# as well. The aims of the first row: 18,000 in all, 14,500 for deploys alone.
#row                  src/, all of it   kB    a daemon for deploys alone
limits='
house                 19300             560   15800
deploys               20100             -     16600
terraform             20500             -     16700
hardening             20700             -     16900
secrets               21700             -     17700
applications          22800             -     18800
guests                23800             -     18800
'

# Of any function and any file, in code lines. Longer ones are listed; they fail nothing.
long_function=50
long_file=350

case ${1:-} in
-h | --help) sed -n 's/^# \{0,1\}//; 2,10p' "$0" && exit 0 ;;
--deploys) measured=deploys ;;
'') measured=all ;;
*) echo "usage: tests/size.sh [--deploys]" >&2 && exit 2 ;;
esac
command -v python3 >/dev/null || {
    echo "tests/size.sh: there is no python3 here: apt-get install python3" >&2
    exit 1
}

read -r row most_lines most_kb most_deploys <<END
$(echo "$limits" | grep "^$current ")
END
[ "$row" = "$current" ] || {
    echo "tests/size.sh: the table of limits has no row '$current'" >&2
    exit 1
}

# feature_exists: whether Cargo.toml has the feature that a daemon for deploys alone does without.
feature_exists() {
    awk '/^\[/ { inside = $0 == "[features]" } inside && /^terraform *=/ { found = 1 } END { exit !found }' Cargo.toml
}

dep_info=-
if [ "$measured" = deploys ] && feature_exists; then
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    cargo build --quiet --no-default-features || exit 1
    dep_info=${CARGO_TARGET_DIR:-target}/debug/engram-deployer.d
    [ -s "$dep_info" ] || {
        echo "tests/size.sh: cargo left no $dep_info" >&2
        exit 1
    }
fi

python3 - "$current" "$most_lines" "$most_kb" "$most_deploys" "$dep_info" "$long_function" "$long_file" <<'END'
import collections
import os
import re
import sys

ROW, MOST_LINES, MOST_KB, MOST_DEPLOYS, DEP_INFO, LONG_FUNCTION, LONG_FILE = sys.argv[1:]

TOKEN = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\* )
    | (?P<raw> (?:br|cr|r) (?P<marks>\#*) " )
    | (?P<text> [bc]? " (?: \\. | [^"\\] )* " )
    | (?P<letter> b?' (?: \\ (?: u\{[^}]*\} | x[0-9a-fA-F]{2} | . ) | [^\\'\n] ) ' )
    | (?P<lifetime> '\w+ )
    | (?P<word> r\#\w+ | \w+ )
    | (?P<sign> -> | => | :: | \S )
    """,
    re.VERBOSE | re.DOTALL,
)
Token = collections.namedtuple("Token", "kind text start end")


def block_comment_end(text, start):
    """Block comments nest."""
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


def tokens_of(text):
    """The tokens of a Rust source, and where its comments are."""
    tokens, comments, at = [], [], 0
    while match := TOKEN.search(text, at):
        at = match.end()
        kind = match.lastgroup if match.lastgroup != "marks" else "raw"
        if kind == "comment":
            if match[0] == "/*":
                at = block_comment_end(text, match.start())
            comments.append((match.start(), at))
            continue
        if kind == "raw":
            close = text.find('"' + match["marks"], at)
            at = len(text) if close < 0 else close + 1 + len(match["marks"])
        tokens.append(Token(kind, text[match.start() : at], match.start(), at))
    return tokens, comments


def closing(tokens, at):
    """The index of the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(tokens)):
        if tokens[index].kind == "sign":
            if tokens[index].text in "([{":
                depth += 1
            elif tokens[index].text in ")]}":
                depth -= 1
                if depth == 0:
                    return index
    return len(tokens) - 1


def predicate(tokens):
    """What a cfg predicate is outside of tests: True, False, or None where that depends on the build."""
    if not tokens:
        return None
    name = tokens[0].text
    if len(tokens) == 1:
        return False if name == "test" else None
    if tokens[1].text != "(":
        return None
    parts, depth = [[]], 0
    for token in tokens[2:-1]:
        if token.text == "," and depth == 0:
            parts.append([])
            continue
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        parts[-1].append(token)
    values = [predicate(part) for part in parts if part]
    if name == "not":
        return None if values[0] is None else not values[0]
    if name == "all":
        return False if False in values else None if None in values else True
    if name == "any":
        return True if True in values else None if None in values else False
    return None


ITEMS = {"fn", "impl", "mod", "struct", "enum", "union", "trait", "extern", "unsafe", "async", "macro_rules"}
BLOCKS = {"if", "match", "while", "for", "loop", "{"}
ENDS_WITH_BRACE = ITEMS | BLOCKS
ENDS_WITH_SEMICOLON = {"use", "static", "type", "let", "const"}


def item_end(tokens, at):
    """The index after the item, field, variant, arm or statement that begins at `at`, past its attributes."""
    start = at
    if tokens[at].text == "pub":
        at += 1
        if at < len(tokens) and tokens[at].text == "(":
            at = closing(tokens, at) + 1
    word = tokens[at].text if at < len(tokens) else ""
    if word == "const" and tokens[at + 1].text in ("fn", "unsafe", "extern", "async"):
        word = "fn"
    angle = 0
    while at < len(tokens):
        text = tokens[at].text if tokens[at].kind == "sign" else ""
        if text in ("(", "[", "{"):
            at = closing(tokens, at)
            more = tokens[at + 1].text if at + 1 < len(tokens) else ""
            if text == "{" and word in ENDS_WITH_BRACE and more != "else":
                return at + 1
        elif text in (")", "]", "}"):
            return max(at, start + 1)
        elif text == ";":
            return at + 1
        elif word not in ENDS_WITH_BRACE and word not in ENDS_WITH_SEMICOLON:
            angle += {"<": 1, ">": -1}.get(text, 0)
            if text == "," and angle <= 0:
                return at + 1
        at += 1
    return at


class Source:
    """One file: its production code, and the modules that it names."""

    def __init__(self, path):
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        tokens, comments = tokens_of(self.text)
        self.modules, self.all_test, self.cut = [], False, list(comments)
        self.tokens = self.without_tests(tokens)
        self.lines = self.code_lines()

    def without_tests(self, tokens):
        name = os.path.basename(self.path)
        own = os.path.dirname(self.path)
        below = own if name in ("mod.rs", "lib.rs", "main.rs") else self.path[: -len(".rs")]
        kept, at, inline, ends = [], 0, [], []
        # Of the attributes before an item: where the first one is, what #[path] says, whether the item is test code.
        first, place, only_tests = None, None, False
        while at < len(tokens):
            while ends and at >= ends[-1]:
                ends.pop()
                inline.pop()
            token = tokens[at]
            inner = token.text == "#" and tokens[at + 1].text == "!"
            if token.text == "#" and tokens[at + 1 + inner].text == "[":
                close = closing(tokens, at + 1 + inner)
                body = tokens[at + 2 + inner : close]
                is_test = body[0].text == "cfg" and predicate(body[2:-1]) is False
                if inner:
                    self.all_test = self.all_test or (is_test and not inline)
                    kept += tokens[at : close + 1]
                else:
                    first = at if first is None else first
                    only_tests = only_tests or is_test
                    if body[0].text == "path" and len(body) == 3:
                        place = body[2].text.strip('"')
                at = close + 1
                continue
            end = item_end(tokens, at) if only_tests else at + 1
            named = at
            if token.text == "pub":
                named = closing(tokens, at + 1) + 1 if tokens[at + 1].text == "(" else at + 1
            if named + 2 < len(tokens) and tokens[named].text == "mod" and tokens[named + 1].kind == "word":
                module = tokens[named + 1].text
                if tokens[named + 2].text == ";":
                    if place is not None:
                        files = [os.path.join(below if inline else own, *inline, place)]
                    else:
                        folder = os.path.join(below, *inline)
                        files = [os.path.join(folder, module + ".rs"), os.path.join(folder, module, "mod.rs")]
                    self.modules.append(([os.path.normpath(file) for file in files], only_tests))
                elif tokens[named + 2].text == "{" and not only_tests:
                    inline.append(module)
                    ends.append(closing(tokens, named + 2))
                    # The visibility and the name are passed over, or the module would be entered twice.
                    end = named + 3
            if only_tests:
                self.cut.append((tokens[first].start, tokens[end - 1].end))
            else:
                kept += tokens[at if first is None else first : end]
            first, place, only_tests, at = None, None, False, end
        return kept

    def code_lines(self):
        """The code characters of each line, by its number from 0; 0 where there are none."""
        marks = list(self.text)
        for start, end in self.cut:
            for at in range(start, end):
                if marks[at] != "\n":
                    marks[at] = "\0"
        lines = "".join(marks).split("\n")
        return [len(line.replace("\0", "").strip()) for line in lines]

    def size(self):
        return sum(1 for line in self.lines if line), sum(self.lines)

    def span(self, first, last):
        """The code lines from one token to another."""
        start = self.text.count("\n", 0, first.start)
        end = self.text.count("\n", 0, last.end)
        return sum(1 for line in self.lines[start : end + 1] if line)


def all_sources():
    """Every file of src/, and which of them are test code."""
    sources = {}
    for folder, _, files in os.walk("src"):
        for name in files:
            if name.endswith(".rs"):
                path = os.path.normpath(os.path.join(folder, name))
                sources[path] = Source(path)

    def reach(roots, tests_too):
        seen, waiting = set(), list(roots)
        while waiting:
            path = waiting.pop()
            if path in seen or path not in sources:
                continue
            seen.add(path)
            for files, only_tests in sources[path].modules:
                if tests_too or not only_tests:
                    waiting += files
        return seen

    production = reach(["src/lib.rs", "src/main.rs"], False)
    named_by_tests = [
        file
        for source in sources.values()
        for files, only_tests in source.modules
        if only_tests
        for file in files
    ]
    tests = reach(named_by_tests, True) - production
    tests |= {path for path, source in sources.items() if path.endswith("_tests.rs") or source.all_test}
    return {path: source for path, source in sources.items() if path not in tests}


def types_of(source):
    """The names of the types that a file defines; an associated type is no type of its own."""
    names, blocks, opened_by = [], [], ""
    tokens = source.tokens
    for at, token in enumerate(tokens):
        before = tokens[at - 1].text if at else ";"
        at_item = before in ("}", ";", "{", "]", "unsafe", "pub", ")")
        follows = tokens[at + 1] if at + 1 < len(tokens) else token
        if token.kind == "word" and follows.kind == "word" and token.text in ("struct", "enum", "union", "trait", "type"):
            # `union` is a word like any other elsewhere.
            if token.text != "type" or not (blocks and blocks[-1] in ("impl", "trait", "extern")):
                if at_item:
                    names.append(follows.text)
        if token.kind == "word" and at_item and token.text in ("impl", "trait", "extern"):
            opened_by = token.text
        elif token.text == "{" and token.kind == "sign":
            blocks.append(opened_by)
            opened_by = ""
        elif token.text == "}" and token.kind == "sign" and blocks:
            blocks.pop()
        elif token.text == ";" and token.kind == "sign":
            opened_by = ""
    return names


def plain_pairs_of(source):
    """The enums with exactly two variants, both without data."""
    found, tokens = [], source.tokens
    for at, token in enumerate(tokens):
        if token.text != "enum" or at + 2 >= len(tokens) or tokens[at + 1].kind != "word":
            continue
        start = at + 2
        while start < len(tokens) and tokens[start].text not in ("{", ";"):
            start += 1
        if start >= len(tokens) or tokens[start].text == ";":
            continue
        variants, inside, end = [[]], start + 1, closing(tokens, start)
        while inside < end:
            text = tokens[inside].text
            if text == "#" and tokens[inside + 1].text == "[":
                inside = closing(tokens, inside + 1)
            elif text == "," and tokens[inside].kind == "sign":
                variants.append([])
            elif text in ("(", "{") and tokens[inside].kind == "sign":
                variants[-1].append("data")
                inside = closing(tokens, inside)
            else:
                variants[-1].append(text)
            inside += 1
        variants = [variant for variant in variants if variant]
        if len(variants) == 2 and all("data" not in variant for variant in variants):
            found.append(tokens[at + 1].text)
    return found


def functions_of(source):
    """The functions with a body, and the code lines of each from `fn` to its brace."""
    tokens = source.tokens
    for at, token in enumerate(tokens):
        if token.text != "fn" or at + 1 >= len(tokens) or tokens[at + 1].kind != "word":
            continue
        body = at + 2
        while body < len(tokens) and tokens[body].text not in ("{", ";"):
            body = closing(tokens, body) + 1 if tokens[body].text in ("(", "[") else body + 1
        if body < len(tokens) and tokens[body].text == "{":
            yield tokens[at + 1].text, source.span(token, tokens[closing(tokens, body)])


def dep_info_files():
    """The files of src/ that a build was made of."""
    with open(DEP_INFO, encoding="utf-8") as file:
        words = file.read().replace("\\\n", " ").replace("\\ ", "\0").split()
    paths = {os.path.relpath(word.replace("\0", " ").rstrip(":")) for word in words}
    return {path for path in paths if path.startswith("src/") and path.endswith(".rs")}


def folder_of(path):
    parts = path.split("/")
    return "src/" if len(parts) == 2 else f"src/{parts[1]}/"


def listed(title, found):
    if found:
        print(f"\n{title}:")
        for lines, where in sorted(found, reverse=True):
            print(f"{lines:>8,}  {where}")


sources = all_sources()
sizes = {path: source.size() for path, source in sources.items()}
rows = collections.defaultdict(lambda: [0, 0, 0])
for path, (lines, characters) in sizes.items():
    for row in (rows[folder_of(path)], rows["all of it"]):
        row[0] += 1
        row[1] += lines
        row[2] += characters

print(f"{'folder':<20}{'files':>8}{'code lines':>12}{'code characters':>18}")
for name in sorted(rows, key=lambda name: (name == "all of it", name)):
    files, lines, characters = rows[name]
    print(f"{name:<20}{files:>8,}{lines:>12,}{characters:>18,}")

names = collections.Counter(name for source in sources.values() for name in types_of(source))
shared = sorted(name for name, times in names.items() if times > 1)
pairs = [name for source in sources.values() for name in plain_pairs_of(source)]
functions = [(lines, f"{name}, {path}") for path, source in sources.items() for name, lines in functions_of(source)]
print(f"\nproduction files: {len(sources)}; types: {sum(names.values())}; functions: {len(functions)}")
print(f"type names defined more than once: {len(shared)}{': ' * bool(shared)}{', '.join(shared)}")
print(f"enums with exactly two variants and no data: {len(pairs)}")
listed(f"functions over {LONG_FUNCTION} code lines", [one for one in functions if one[0] > int(LONG_FUNCTION)])
listed(
    f"files over {LONG_FILE} code lines",
    [(lines, path) for path, (lines, _) in sizes.items() if lines > int(LONG_FILE)],
)

failed = False


def judge(what, value, most, unit):
    global failed
    above = value > most
    failed = failed or above
    verdict = f"ABOVE by {value - most:,}" if above else f"{most - value:,} left"
    print(f"{what:<44}{value:>9,} of {most:>7,} {unit:<6} {verdict}")


print(f"\nlimits, row '{ROW}':")
_, lines, characters = rows["all of it"]
judge("src/, all of it", lines, int(MOST_LINES), "lines")
if MOST_KB != "-":
    # Rounded up: a limit is a limit.
    judge("src/, code characters", -(-characters // 1000), int(MOST_KB), "kB")
if DEP_INFO != "-":
    deploys = sum(sizes[path][0] for path in dep_info_files() if path in sizes)
    judge("a daemon for deploys alone", deploys, int(MOST_DEPLOYS), "lines")
sys.exit(failed)
END
status=$?
if [ "$measured" = deploys ] && [ "$dep_info" = - ]; then
    echo "a daemon for deploys alone: not measured, Cargo.toml has no feature 'terraform'"
    status=1
fi
exit "$status"
