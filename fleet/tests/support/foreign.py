"""Foreign ends of the protocol, with nats-py: a deployer and a listener that know only the Go tool's messages.

deployer URL SEED SUBJECT [ACTION REVISION]   publishes a request, prints each response, ends at the first final one
listener URL SEED HOSTNAME SUBJECT...         prints `ready`, answers each request with accepted, started, completed
"""
import asyncio
import json
import sys
import uuid

import nats


def show(value):
    print(json.dumps(value), flush=True)


async def deployer(url, seed, subject, action="switch", revision="main"):
    client = await nats.connect(url, nkeys_seed=seed)
    reply = f"deploy.responses.{uuid.uuid4()}"
    statuses = await client.subscribe(reply)
    request = {"action": action, "revision": revision, "reply_to": reply}
    await client.publish(subject, json.dumps(request).encode())
    while True:
        status = json.loads((await statuses.next_msg(timeout=60)).data)
        show(status)
        if status["status"] in ("completed", "failed", "rejected"):
            await client.close()
            return


async def listener(url, seed, hostname, *subjects):
    client = await nats.connect(url, nkeys_seed=seed)

    async def answer(message):
        if not message.data:
            return
        request = json.loads(message.data)
        show({"request": request})
        for status in ("accepted", "started", "completed"):
            response = {"hostname": hostname, "status": status, "error": None, "message": f"{status} by {hostname}"}
            await client.publish(request["reply_to"], json.dumps(response).encode())
            await asyncio.sleep(0.1)

    for subject in subjects:
        await client.subscribe(subject, cb=answer)
    await client.flush()
    show("ready")
    while True:
        await asyncio.sleep(3600)


asyncio.run({"deployer": deployer, "listener": listener}[sys.argv[1]](*sys.argv[2:]))
