#!/usr/bin/env python3
"""The plan_digest of engram-deployer, by hand: terraform show -json plan.bin | python3 plan-digest.py plan.bin

SECURITY.md says what counts. Values are hashed as terraform prints them, byte for byte. With -v each of them is listed.
"""

import hashlib
import json
import re
import struct
import sys
import zipfile

text = sys.stdin.buffer.read().decode()
end_of = json.JSONDecoder().raw_decode
listed = []


def count(kind, value, whose=""):
    seen = hashlib.sha256(value if isinstance(value, bytes) else value.encode()).digest()
    listed.append((hashlib.sha256(whose.encode() + b"\0" + seen).hexdigest(), kind, whose))


def children(value):
    """The name (in a list: None) and the text of every value in an object or a list, as it is printed."""
    at, found = 1, []
    while value != "null" and value[at] not in "]}":
        name = None
        begin, (parsed, at) = at, end_of(value, at)
        if value[at] == ":":
            name, begin = parsed, at + 1
            at = end_of(value, begin)[1]
        found.append((name, value[begin:at]))
        at += value[at] == ","
    return found


def depends(value):
    """Whether an expression refers to more than variables of the root module and the names of folders."""
    if isinstance(value, dict):
        references = value.get("references")
        if isinstance(references, list) and not all(r.startswith(("var.", "path.", "terraform.")) for r in references):
            return True
        return any(depends(member) for member in value.values())
    return isinstance(value, list) and any(depends(entry) for entry in value)


def block(entry):
    return entry.get("type", "") + "." + entry.get("name", "")


def hides(module):
    """Whether a module has something ephemeral, or a provisioner of a resource that is applied."""
    resources, calls = module.get("resources", []), module.get("module_calls", {}).values()
    return any(r["mode"] == "ephemeral" or ("provisioners" in r and block(r) in applied) for r in resources) or any(
        hides(call.get("module", {})) for call in calls
    )


def hides_provider(name, content):
    """Whether a file of the root module has a provider's block, or what looks like one, and dynamic blocks."""
    is_json = name.endswith((".tf.json", ".tofu.json"))
    if not is_json and not name.endswith((".tf", ".tofu")):
        return False
    return len(content.encode()) > 4 * 1024 * 1024 or (is_json and "\\u" in content) or (
        "dynamic" in content and re.search(r"(?<![\w-])provider(?![\w-])(?!\s*=)", content) is not None
    )


members = dict(children(text.strip()))
document = json.loads(text)
archive = zipfile.ZipFile(sys.argv[1])
applied = set()
for kind in ("resource_changes", "resource_drift", "output_changes"):
    for name, value in children(members.pop(kind, "null")):
        entry = json.loads(value)
        change = entry.get("change", entry)
        if change["actions"] != ["no-op"] or change.get("importing") or entry.get("previous_address"):
            applied.add(block(entry))
        count(kind, value, "output " + name if name else entry["address"])

configuration = document.get("configuration") or {}
providers = (configuration.get("provider_config") or {}).values()
unseen = (
    "action_invocations" in members
    or any("module_address" in provider or depends(provider) for provider in providers)
    or hides(configuration.get("root_module", {}))
    or any(
        hides_provider(name, archive.read(name).decode(errors="replace"))
        for name in archive.namelist()
        if name.startswith("tfconfig/m-/")
    )
)
relevant = {}
for entry in document.get("relevant_attributes") or []:
    attribute = entry["attribute"][0] if entry["attribute"] and isinstance(entry["attribute"][0], str) else ""
    for found in re.findall(r"data\.([\w.-]*)", entry["resource"]):
        relevant.setdefault(found, set()).add(attribute)

for kind in ("relevant_attributes", "variables"):
    for name, value in children(members.pop(kind, "null")):
        count(kind, value, "variable " + name if name else "")


def state(name, value):
    """A member of the state, or of a module in it."""
    if name in ("values", "root_module"):
        for member in children(value):
            state(*member)
    elif name == "child_modules":
        for _, module in children(value):
            state("root_module", module)
    elif name == "resources":
        for _, value in children(value):
            entry = json.loads(value)
            if unseen or entry["mode"] != "data":
                count("prior_state", value, entry["address"])
                continue
            values = dict(children(dict(children(value)).get("values", "null")))
            for attribute in relevant.get(block(entry), ()):
                parts = (entry["address"], attribute)
                seen = hashlib.sha256(values.get(attribute, value).encode()).digest()
                count("prior_state", b"".join(part.encode() + b"\0" for part in parts) + seen, entry["address"])
    else:
        count("prior_state " + name, value)


for member in children(members.pop("prior_state", "null")):
    state(*member)
members.pop("timestamp", None)
for name, value in members.items():
    count(name, value)
for file in archive.infolist():
    if file.filename.startswith("tfconfig/") or file.filename == ".terraform.lock.hcl":
        archive.fp.seek(file.header_offset + 26)
        archive.fp.seek(sum(struct.unpack("<HH", archive.fp.read(4))), 1)
        packed = archive.fp.read(file.compress_size)
        whose = re.sub("^(tfconfig/m-)*/*", "", file.filename)
        count("file " + file.filename, bytes([file.compress_type]) + packed, whose)

if sys.argv[2:] == ["-v"]:
    print(*sorted(" ".join(line).strip() for line in listed), sep="\n", file=sys.stderr)
lines = sorted(f"{digest} {kind}\n" for digest, kind, _ in listed)
print("sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest())
