"""Measures the fleet's tool on a nats-server of its own. bench.py PROGRAM STATIC-PROGRAM [WORD...]"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

program, static, *words = sys.argv[1:]
here = pathlib.Path(__file__).resolve().parent.parent.parent
# In memory where there is such a place: the disk is not what is measured.
shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
folder = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-", dir=shm))
folder.chmod(0o755)
started = []
short = []


def row(name, value, goal, unit, least=False):
    if words and not any(word in name for word in words):
        return
    good = value >= goal if least else value <= goal
    if not good:
        short.append(name)
    print(f"{name:52} {value:10.2f} {unit:3}  goal {goal:8.2f}  {'' if good else 'SHORT'}", flush=True)


def start(arguments, log, **more):
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
    started.append(process)
    return process


def keygen(name):
    return subprocess.run([program, "keygen", folder / name], check=True, capture_output=True, text=True).stdout.strip()


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, check, seconds=120):
    until = time.time() + seconds
    while not check():
        if time.time() > until:
            raise SystemExit(f"not in time: {what}")
        time.sleep(0.05)


def kilobytes(pid, file, name):
    text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
    return int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))


def ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def listener(number, url, binary):
    root = folder / f"h{number}"
    for below in ("nix/var/nix/profiles", "run", "store/1"):
        (root / below).mkdir(parents=True)
    (root / "nix/var/nix/profiles/system").symlink_to("system-1-link")
    (root / "nix/var/nix/profiles/system-1-link").symlink_to("../../../../store/1")
    (root / "run/current-system").symlink_to("../store/1")
    arguments = [binary, "listener", "--no-units", "--hostname", f"h{number}", "--tier", "test", "--nats-url", url]
    arguments += ["--nkey-file", folder / "host", "--flake-url", "git+https://x/y", "--state-dir", root / "state"]
    arguments += ["--root", root, "--nixos-rebuild", folder / "work", "--nix", "/bin/false"]
    log = open(root / "log", "w")
    return start(arguments, log), root / "log"


def deploy(url, *more):
    begin = time.time()
    ran = subprocess.run(
        [program, "deploy", *more, "--json", "--nats-url", url, "--nkey-file", folder / "deployer"],
        capture_output=True, text=True)
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], (time.time() - begin) * 1000


def moment(line):
    whole, part = re.match(r"(.*)\.(\d+)Z", line["time"]).groups()
    import calendar
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000 + int(part)


def lines_of_code():
    total = 0
    for path in (here / "src").rglob("*.rs"):
        text = path.read_text().split("\n#[cfg(test)]\nmod tests {")[0]
        code = (line.split("//")[0] for line in text.splitlines())
        total += sum(1 for line in code if re.search(r"\w", line))
    return total


def many(url, count):
    hosts = [listener(number, url, static) for number in range(count)]
    for _, log in hosts:
        wait("a listener is connected", lambda log=log: "connected to" in log.read_text())
    time.sleep(3)
    if not words or any("idle for" in word or "idle" in word for word in words):
        pids = [pid for process, _ in hosts for pid in [process.pid, *children(process.pid)]]
        before = sum(map(ticks, pids))
        time.sleep(60)
        spent = (sum(map(ticks, pids)) - before) / os.sysconf("SC_CLK_TCK")
        row(f"{count} idle listeners, of one core", spent / 60 * 100, 1, "%")
    accepted, final, discovered = [], [], []
    for _ in range(11):
        status, lines, _ = deploy(url, "deploy.test.all", "--branch", "0" * 40)
        sent = next(moment(line) for line in lines if line.get("phase") == "batch")
        per = {"accepted": {}, "completed": {}}
        for line in lines:
            if line.get("host_status") in per:
                per[line["host_status"]].setdefault(line["host"], moment(line) - sent)
        if status != 0 or len(per["completed"]) != count:
            raise SystemExit(f"{len(per['completed'])} of {count} hosts completed: {lines[-1]['error']}")
        accepted.append(max(per["accepted"].values()))
        final.append(max(per["completed"].values()))
        plan = next(line for line in lines if line.get("phase") == "plan")
        assert len(plan["hosts"]) == count, "discovery has not found every host"
    row(f"{count} listeners: all accepted, median of 11", statistics.median(accepted), 200, "ms")
    row(f"{count} listeners: all final, median of 11", statistics.median(final), 320, "ms")
    for _ in range(5):
        begin = time.time()
        subprocess.run([program, "list-hosts", "--json", "--nats-url", url, "--nkey-file", folder / "deployer"],
                       capture_output=True, check=True)
        # It ends 300 ms after the last answer, at the earliest after 500.
        discovered.append(max((time.time() - begin) * 1000 - 500, 0))
    row(f"discovery of {count}: beyond the least wait", statistics.median(discovered), 60, "ms")


def main():
    (folder / "work").write_text("#!/bin/sh\nexec sleep 0.05\n")
    (folder / "work").chmod(0o755)
    host, deployer = keygen("host"), keygen("deployer")
    number = port()
    url = f"nats://127.0.0.1:{number}"
    (folder / "server.conf").write_text(f"""listen: 127.0.0.1:{number}
authorization {{ users = [
  {{ nkey: "{host}", permissions: {{ subscribe: ["deploy.test.>", "deploy.discover"], publish: ["deploy.responses.>", "deploy.discover"] }} }}
  {{ nkey: "{deployer}", permissions: {{ subscribe: ["deploy.responses.>", "deploy.discover"], publish: ["deploy.test.>", "deploy.discover"] }} }}
] }}
""")
    log = open(folder / "server.log", "w")
    serve = ["nats-server", "-c", folder / "server.conf"]
    server = start(serve, log)
    wait("the server listens", lambda: "Server is ready" in (folder / "server.log").read_text())

    row("production lines", lines_of_code(), 4500, "")
    row("binary", os.path.getsize(program) / 1e6, 4.0, "MB")
    row("binary, static", os.path.getsize(static) / 1e6, 4.3, "MB")
    one, one_log = listener("one", url, static)
    wait("it is connected", lambda: "connected to" in one_log.read_text())
    time.sleep(2)
    half = children(one.pid)[0]
    row("idle network half: RSS", kilobytes(half, "status", "VmRSS") / 1000, 5, "MB")
    row("idle network half: anonymous", kilobytes(half, "status", "RssAnon") / 1000, 1, "MB")
    pss = sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in (one.pid, half)) / 1000
    row("keeper and half: PSS", pss, 5, "MB")
    times = [deploy(url, "deploy.prod.all")[2] for _ in range(5)]
    row("forbidden, whole process", statistics.median(times), 100, "ms")

    # The server goes in the middle of a run: from its return to the true result.
    (folder / "slow").write_text("#!/bin/sh\nexec sleep 2\n")
    (folder / "slow").chmod(0o755)
    (folder / "work").rename(folder / "quick")
    (folder / "slow").rename(folder / "work")
    process = subprocess.Popen(
        [program, "deploy", "deploy.test.hone", "--json", "--nats-url", url, "--nkey-file", folder / "deployer"],
        stdout=subprocess.PIPE, text=True)
    time.sleep(1.2)
    server.kill()
    server.wait()
    time.sleep(2.5)
    back = time.time()
    server = start(serve, log)
    out, _ = process.communicate()
    row("true result after the server is back", time.time() - back, 5, "s")
    if json.loads(out.splitlines()[-1])["status"] != "ok":
        raise SystemExit(f"not a true result: {out}")
    (folder / "quick").rename(folder / "work")
    one.terminate()
    one.wait()
    many(url, 200)


try:
    main()
finally:
    for process in reversed(started):
        if process.poll() is None:
            process.terminate()
    for process in started:
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
print(f"short: {', '.join(short)}" if short else "none is short")
sys.exit(1 if short else 0)
