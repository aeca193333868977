#!/usr/bin/env python3
"""The plan_digest of engram-deployer, by hand: terraform show -json plan.bin | python3 plan-digest.py

SHA-256 over what terraform prints, byte for byte, but for two things that differ though the plan is the same: the
top-level member "timestamp" is left out with its comma, and the entries of "relevant_attributes" are sorted by their bytes.
"""

import hashlib
import json
import sys

RELEVANT = '"relevant_attributes":['

text = sys.stdin.buffer.read().decode()
end_of = json.JSONDecoder().raw_decode


def printed(at):
    """What is printed from `at` to the end of the object or list there, one text for each entry; and where that end is."""
    entries = []
    while text[at] not in "]}":
        begin, at = at, end_of(text, at)[1]
        if text[at] == ":":
            at = end_of(text, at + 1)[1]
        entries.append((begin, text[begin:at]))
        at += text[at] == ","
    return entries, at


members, end = printed(1)
counted = []
for begin, member in members:
    if member.startswith(RELEVANT):
        entries, _ = printed(begin + len(RELEVANT))
        member = RELEVANT + ",".join(sorted(entry for _, entry in entries)) + "]"
    if not member.startswith('"timestamp":'):
        counted.append(member)
document = "{" + ",".join(counted) + text[end:]
print("sha256:" + hashlib.sha256(document.encode()).hexdigest())
