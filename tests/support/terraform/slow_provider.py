"""A provider for terraform whose resource takes its time, and which writes down what really happened.

It behaves as the worst of the real ones: INT is ignored, as go-plugin does, TERM ends it, and a request to stop changes
nothing about a call that is under way. What is in this book and not in terraform's state is what an operator has lost. A
line `gone NAME` or `moved NAME` that somebody else writes there is done to the thing behind terraform's back.

usage: slow_provider.py BOOK      (as a plugin of terraform, which speaks first)
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from tf import runner
from tf.iface import Provider, Resource
from tf.schema import Attribute, Schema
from tf.types import Number, String

BOOK = sys.argv[1]


def note(word, name):
    book = os.open(BOOK, os.O_WRONLY | os.O_APPEND)
    os.write(book, f"{word} {name}\n".encode())
    os.close(book)


at_work = threading.Lock()


def end_as_an_orphan():
    """Ends this process once terraform is gone and nothing is being made: real ones stay for ever."""
    terraform = os.getppid()
    while os.getppid() == terraform:
        time.sleep(0.1)
    with at_work:
        os._exit(0)


class Thing(Resource):
    """`slow_thing`: a name, and how many seconds its making takes."""

    def __init__(self, provider):
        pass

    @classmethod
    def get_name(cls):
        return "thing"

    @classmethod
    def get_schema(cls):
        return Schema(
            version=1,
            attributes=[
                Attribute("name", String(), required=True, requires_replace=True),
                Attribute("seconds", Number(), required=True),
                Attribute("id", String(), computed=True),
            ],
        )

    def create(self, ctx, planned):
        with at_work:
            note("create-begin", planned["name"])
            time.sleep(float(planned["seconds"]))
            note("create-end", planned["name"])
        return {**planned, "id": "made-" + planned["name"]}

    def read(self, ctx, current):
        name = current["name"]
        happened = Path(BOOK).read_text().splitlines()
        if f"gone {name}" in happened:
            return None
        return {**current, "id": "moved-" + name} if f"moved {name}" in happened else current

    def update(self, ctx, current, planned):
        return {**planned, "id": current["id"]}

    def delete(self, ctx, current):
        note("delete", current["name"])


class Slow(Provider):
    """One resource, and an endpoint that makes no difference."""

    def get_model_prefix(self):
        return "slow_"

    def full_name(self):
        return "example.test/engram/slow"

    def get_provider_schema(self, diags):
        return Schema(version=1, attributes=[Attribute("endpoint", String(), optional=True)])

    def validate_config(self, diags, config):
        pass

    def configure_provider(self, diags, config):
        pass

    def get_data_sources(self):
        return []

    def get_resources(self):
        return [Thing]


class Ending:
    """In the place of the library's own, which ends what is under way when terraform asks the provider to stop."""

    def __init__(self):
        self.stopped = False
        self.server = None

    def intercept_service(self, continuation, details):
        result = continuation(details)
        if details.method == "/plugin.GRPCController/Shutdown":
            self.stopped = True
            self.server.stop(grace=None)
        return result


runner._ShutdownInterceptor = Ending
# No file of its own between two starts: it may not have a HOME.
runner._get_cert_cache_path = lambda: Path("/nonexistent/certificate")
threading.Thread(target=end_as_an_orphan, daemon=True).start()
signal.signal(signal.SIGINT, signal.SIG_IGN)
runner.run_provider(Slow())
