#!/usr/bin/python3
"""Stands in for Unraid's plugin manager, with what was measured of it.

usage: plugin install|remove FILE.plg

FILE elements are taken in their order, those of the method that is asked for. A file that is there with the right sum is
left as it is; one that would have to be fetched is a failure, because a test has no network. `Run` is given a script, its
output is read to its end, and an exit status other than 0 ends everything.
"""

import hashlib
import os
import subprocess
import sys
import xml.etree.ElementTree as tree


def fail(why):
    sys.exit(f"plugin: {why}")


def place(element):
    path = element.get("Name")
    url, inline = element.findtext("URL"), element.findtext("INLINE")
    if os.path.exists(path):
        wanted = (element.findtext("SHA256") or "").strip()
        with open(path, "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        if wanted not in ("", found):
            fail(f"bad file SHA256: {path}")
    elif url:
        fail(f"download failure: {url.strip()}")
    else:
        os.makedirs(os.path.dirname(path), mode=0o770, exist_ok=True)
        with open(path, "w") as file:
            file.write(inline)
    return path


def run(program, script):
    output = subprocess.run([program, script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(output.stdout.decode(), end="", flush=True)
    if output.returncode != 0:
        fail(f"run failed: {program} {script} returned {output.returncode}")


def main(method, file):
    for number, element in enumerate(tree.parse(file).getroot().findall("FILE")):
        if method not in element.get("Method", "install").split():
            continue
        path = f"/tmp/inline{number}.sh"
        if element.get("Name"):
            path = place(element)
        else:
            with open(path, "w") as script:
                script.write(element.findtext("INLINE"))
        if element.get("Run"):
            run(element.get("Run"), path)


main(*sys.argv[1:])
