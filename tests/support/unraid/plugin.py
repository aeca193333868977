#!/usr/bin/python3
"""Stands in for Unraid's plugin manager, with what was measured of it.

usage: plugin install FILE.plg [forced] | remove NAME.plg

FILE elements are taken in their order, those of the method that is asked for. A file that is there with the right sum is
left as it is, one with a wrong sum is removed and fetched; the network is the folder /tmp/network, so there is none after a
boot. `Run` is given a script, its output is read to its end, and an exit status other than 0 ends everything.

Only what was installed to its end is put in the place of the .plg before, on the flash. One that is there and fails, as at
boot, is put aside. Versions are compared as texts; what is not newer is not installed, unless that is forced.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as tree

FLASH = "/boot/config/plugins"
# A link for each plugin that is installed.
INSTALLED = "/var/log/plugins"
NETWORK = "/tmp/network"


class Failure(Exception):
    pass


def has_sum(path, element):
    wanted = (element.findtext("SHA256") or "").strip()
    with open(path, "rb") as file:
        return wanted in ("", hashlib.sha256(file.read()).hexdigest())


def fetch(url, path):
    source = os.path.join(NETWORK, os.path.basename(url))
    if not os.path.exists(source):
        raise Failure(f"{os.path.basename(url)} download failure: Network failure")
    shutil.copyfile(source, path)


def place(element):
    path = element.get("Name")
    url, inline = element.findtext("URL"), element.findtext("INLINE")
    os.makedirs(os.path.dirname(path), mode=0o770, exist_ok=True)
    if os.path.exists(path) and not has_sum(path, element):
        os.unlink(path)
    if os.path.exists(path):
        return path
    if url:
        fetch(url.strip(), path)
    else:
        with open(path, "w") as file:
            file.write(inline)
    if not has_sum(path, element):
        os.unlink(path)
        raise Failure(f"bad file SHA256: {path}")
    return path


def run(program, script):
    output = subprocess.run([program, script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(output.stdout.decode(), end="", flush=True)
    if output.returncode != 0:
        raise Failure(f"run failed: '{program}' returned {output.returncode}")


def take(method, file):
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


def aside(file, folder):
    os.makedirs(folder, exist_ok=True)
    shutil.move(file, os.path.join(folder, os.path.basename(file)))


def install(file, forced):
    name = os.path.basename(file)
    link, on_flash = os.path.join(INSTALLED, name), os.path.join(FLASH, name)
    version = lambda file: tree.parse(file).getroot().get("version")
    if os.path.exists(link) and not forced:
        if version(file) <= version(link):
            raise Failure(f"not installing version {version(file)}: {version(link)} is installed")
    try:
        take("install", file)
    except Failure:
        if os.path.dirname(file) == FLASH:
            aside(file, FLASH + "-error")
        raise
    if file != on_flash:
        shutil.copyfile(file, on_flash)
    os.makedirs(INSTALLED, exist_ok=True)
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(on_flash, link)
    print(f"plugin: {name} installed")


def remove(name):
    link = os.path.join(INSTALLED, name)
    if "/" in name or not os.path.exists(link):
        raise Failure("not installed")
    take("remove", link)
    aside(os.path.realpath(link), FLASH + "-removed")
    os.unlink(link)
    print(f"plugin: {name} removed")


def main(method, file, forced=None):
    try:
        install(file, forced) if method == "install" else remove(file)
    except Failure as failure:
        print(f"plugin: {failure}")
        sys.exit(1)


main(*sys.argv[1:])
