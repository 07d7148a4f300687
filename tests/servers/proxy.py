#!/usr/bin/env python3
"""A bad line to an S3 server: an HTTP proxy that cuts, delays, loses and garbles by a seed.

usage: proxy.py [--seed N] [--rates rough|slow|lost|badday|calm|NAME=RATE,..] [--upstream URL] -- COMMAND..
       proxy.py ... --listen PORT

Runs the command with AWS_ENDPOINT set to the proxy (the upstream is the AWS_ENDPOINT that it finds, and SHALE_TEST_DIRECT for what a test
does to the bucket itself) and ends with its exit code. With
--listen it stays until interrupted. It prints its seed at the start and what it did at the end. The Host header passes unchanged, so
signatures stay valid; nothing of a body is ever changed, only its end may be missing.

What may happen to a request (rates are per request; which one is hit is drawn from the seed and the request's number):
  reset        nothing is forwarded, the connection is reset          busy       503, sometimes with Retry-After; not forwarded
  half         half of the request goes on, then both sides break     slowdown   429 with Retry-After; not forwarded
  late         reset at once, but forwarded some time later           broken     500; not forwarded
  lost         forwarded, the answer is thrown away, then reset       turned     forwarded, the answer is thrown away, 500 instead
  cut          the answer ends at a random byte by a reset            truncate   the answer ends at a random byte by an orderly end
  delay        forwarded after a pause                                hold       forwarded, the answer comes after a pause
  stall        the answer stops at a random byte for long             drip       the answer comes in small pieces with pauses
  close        the kept-alive connection is closed after an answer    deaf       nothing is read and nothing answered for long
  leak         the answer comes byte by byte, with pauses              tardy      forwarded, the answer comes after one to three seconds"""
import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.parse

FAULTS = ("reset", "half", "late", "lost", "cut", "delay", "stall", "close", "busy", "slowdown", "broken", "turned", "truncate", "hold", "drip", "deaf", "leak", "tardy")
RATES = {
    "calm": {},
    # A bucket on a bad day: one answer in fifty takes seconds (a p99 of 2 s), one request in twenty fails, half of those by throttling.
    "badday": {"hold": 0.3, "tardy": 0.02, "busy": 0.015, "slowdown": 0.01, "broken": 0.01, "reset": 0.005, "lost": 0.005, "turned": 0.005},
    # Everything, about every sixth request.
    "rough": dict(dict.fromkeys(FAULTS, 0.01), tardy=0.0, lost=0.02, cut=0.02, truncate=0.02, close=0.02, stall=0.001, deaf=0.001, leak=0.001, slowdown=0.004, busy=0.006),
    # Answers to what was done are lost: what a conditional write meets.
    "lost": {"lost": 0.06, "turned": 0.04, "late": 0.03, "cut": 0.03, "close": 0.02},
    "slow": {"delay": 0.1, "hold": 0.1, "drip": 0.05, "stall": 0.005, "deaf": 0.005, "close": 0.05},
}
HEAD_MAX = 65536
PIECE = 65536
PAUSE_S = 0.15       # the longest short one
LATE_S = 1.5         # the latest late one
LONG_S = 6.0         # stall, deaf
DRIPS = 8
UPSTREAM_MAX_S = 60  # nothing here waits for ever either
BODY_MAX = 1 << 28


class Gone(Exception):
    """The connection of this exchange is over."""


def parse_head(head):
    """(first line, {name: value})"""
    lines = head.decode("latin-1").split("\r\n")
    return lines[0], {n.strip().lower(): v.strip() for n, _, v in (x.partition(":") for x in lines[1:] if ":" in x)}


async def read_head(reader):
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as e:
        raise Gone from e


async def read_chunked(reader):
    """The chunked body as it came."""
    found = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        found += [line, await reader.readexactly(size + 2) if size else await reader.readuntil(b"\r\n")]
        if size == 0:
            return b"".join(found)


async def read_body(reader, headers, bodyless):
    if bodyless:
        return b""
    if "chunked" in headers.get("transfer-encoding", ""):
        return await read_chunked(reader)
    if "content-length" in headers:
        return await reader.readexactly(min(int(headers["content-length"]), BODY_MAX))
    return await reader.read(BODY_MAX) if headers.get("connection", "").lower() == "close" else b""


def reset(writer):
    """Ends a connection so that the other side hears of a reset, not of an end."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def failure(status, reason, code, extra=""):
    body = ('<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>of the test proxy</Message></Error>' % code).encode()
    return ("HTTP/1.1 %d %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n%s\r\n" % (status, reason, len(body), extra)).encode() + body


class Exchange:
    """One request that was read, and what is done with it."""

    def __init__(self, proxy, writer, request, no_body, rnd, at=None):
        self.proxy, self.writer, self.request, self.no_body, self.rnd, self.at = proxy, writer, request, no_body, rnd, at

    async def forward(self, some=None):
        """The whole answer of the server, as bytes, and whether it ends the connection."""
        reader, writer = await asyncio.open_connection(self.proxy.host, self.proxy.port, limit=HEAD_MAX)
        try:
            writer.write(self.request if some is None else self.request[:some])
            if some is not None:
                await writer.drain()
                return None, True
            # A server may refuse before it has read all: its answer is waited for, not the end of the sending.
            return await asyncio.wait_for(self.answer(reader), UPSTREAM_MAX_S)
        finally:
            writer.close()

    async def answer(self, reader):
        while True:
            head = await read_head(reader)
            line, headers = parse_head(head)
            status = int(line.split()[1])
            if status >= 200:
                break
        body = await read_body(reader, headers, self.no_body or status in (204, 304))
        return head + body, headers.get("connection", "").lower() == "close"

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def somewhere(self, data):
        """A byte of it: in the head rather often, for that is short; or the one that was asked for."""
        if self.at is not None:
            return min(self.at, len(data) - 1)
        head = data.index(b"\r\n\r\n") + 4
        if len(data) == head or self.rnd.random() < 0.3:
            return self.rnd.randrange(head)
        return self.rnd.randrange(head, len(data))

    async def pause(self, longest=PAUSE_S):
        await asyncio.sleep(self.rnd.random() * longest)

    async def pass_on(self):
        data, ends = await self.forward()
        await self.send(data)
        if ends:
            raise Gone

    async def over(self, hard):
        if hard:
            reset(self.writer)
        raise Gone

    # ---- faults: those that return leave the connection open

    async def reset(self):
        await self.over(True)

    async def half(self):
        with contextlib.suppress(OSError):
            await self.forward(len(self.request) // 2)
        await self.over(True)

    async def late(self):
        self.proxy.later(self.forward_late(self.rnd.random() * LATE_S))
        await self.over(True)

    async def forward_late(self, after_s):
        await asyncio.sleep(after_s)
        with contextlib.suppress(OSError, Gone, asyncio.IncompleteReadError, asyncio.TimeoutError):
            await self.forward()

    async def lost(self):
        await self.forward()
        await self.over(self.rnd.random() < 0.7)

    async def turned(self):
        await self.forward()
        await self.send(failure(500, "Internal Server Error", "InternalError"))

    async def cut(self):
        data, _ = await self.forward()
        await self.send(data[:self.somewhere(data)])
        await self.over(True)

    async def truncate(self):
        data, _ = await self.forward()
        await self.send(data[:self.somewhere(data)])
        await self.over(False)

    async def delay(self):
        await self.pause()
        await self.pass_on()

    async def hold(self):
        data, _ = await self.forward()
        await self.pause()
        await self.send(data)

    async def tardy(self):
        data, _ = await self.forward()
        await asyncio.sleep(1 + 2 * self.rnd.random())
        await self.send(data)

    async def stall(self):
        data, _ = await self.forward()
        at = self.somewhere(data)
        await self.send(data[:at])
        await asyncio.sleep(self.proxy.long_s)
        await self.send(data[at:])

    async def drip(self):
        data, _ = await self.forward()
        step = max(1, len(data) // DRIPS)
        for at in range(0, len(data), step):
            await self.send(data[at:at + step])
            await self.pause(PAUSE_S / DRIPS)

    async def leak(self):
        """A byte now and then, so that no single wait is long."""
        data, _ = await self.forward()
        for at in range(len(data)):
            await self.send(data[at:at + 1])
            await asyncio.sleep(PAUSE_S)

    async def close(self):
        data, _ = await self.forward()
        await self.send(data)
        raise Gone

    async def busy(self):
        wait = "" if self.rnd.random() < 0.6 else "Retry-After: 1\r\n"
        await self.send(failure(503, "Service Unavailable", "SlowDown", wait))

    async def slowdown(self):
        await self.send(failure(429, "Too Many Requests", "TooManyRequests", "Retry-After: 1\r\n"))

    async def broken(self):
        await self.send(failure(500, "Internal Server Error", "InternalError"))

    async def deaf(self):
        await asyncio.sleep(self.proxy.long_s)
        await self.over(False)


class Proxy:
    exchange = Exchange

    def __init__(self, upstream, seed, rates):
        at = urllib.parse.urlsplit(upstream)
        if at.scheme != "http":
            raise ValueError("the upstream must be http://, not %r" % upstream)
        self.host, self.port, self.seed = at.hostname, at.port or 80, seed
        self.rates, self.requests, self.counts, self.tasks, self.long_s = rates, 0, dict.fromkeys(FAULTS, 0), set(), LONG_S
        self.unanswered = 0  # the server itself failed

    def later(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def draw(self):
        """(fault or None, the chance that it uses, the byte where it strikes or None) of the next request."""
        self.requests += 1
        rnd = random.Random("%s %d" % (self.seed, self.requests))
        at = rnd.random()
        for name, rate in self.rates.items():
            at -= rate
            if at < 0:
                return name, rnd, None
        return None, rnd, None

    def fault_of(self, _line):
        """For tests that choose by the request's first line."""
        return None

    async def one(self, reader, writer):
        head = await read_head(reader)
        line, headers = parse_head(head)
        fault, rnd, at = self.draw()
        fault = self.fault_of(line) or fault
        if fault is not None:
            self.counts[fault] += 1
        if fault == "deaf":
            await Exchange(self, writer, b"", False, rnd).deaf()
        if headers.get("expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = head + await read_body(reader, headers, "content-length" not in headers and "transfer-encoding" not in headers)
        # Each forwarded request has a connection of its own: what a fault leaves half done does not meet the next one.
        exchange = self.exchange(self, writer, request, line.startswith("HEAD "), rnd, at)
        await (getattr(exchange, fault)() if fault is not None else exchange.pass_on())
        if headers.get("connection", "").lower() == "close":
            raise Gone

    async def serve(self, reader, writer):
        try:
            while True:
                await self.one(reader, writer)
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.TimeoutError:
            self.unanswered += 1
            reset(writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    async def run(self, port, ready, stop):
        server = await asyncio.start_server(self.serve, "127.0.0.1", port, limit=HEAD_MAX)
        ready(server.sockets[0].getsockname()[1])
        await stop()
        server.close()
        for task in list(self.tasks):
            task.cancel()

    def summary(self):
        hit = {k: v for k, v in self.counts.items() if v}
        return "proxy: SEED=%s, %d requests, %d faults: %s%s" % (
            self.seed, self.requests, sum(hit.values()), ", ".join("%d %s" % (v, k) for k, v in sorted(hit.items())) or "none",
            ", %d without an answer from the server" % self.unanswered if self.unanswered else "")


def rates_of(text):
    if text in RATES:
        return RATES[text]
    found = {}
    for word in text.split(","):
        name, _, rate = word.partition("=")
        if name not in FAULTS:
            raise argparse.ArgumentTypeError("no fault %r: one of %s, or a set: %s" % (name, " ".join(FAULTS), " ".join(RATES)))
        found[name] = float(rate)
    return found


@contextlib.contextmanager
def running(proxy, port=0):
    """Runs a proxy in a thread; gives its URL."""
    started, loop, box = threading.Event(), asyncio.new_event_loop(), {}

    def ready(found):
        box["port"] = found
        started.set()

    async def main():
        box["end"] = asyncio.Event()
        await proxy.run(port, ready, box["end"].wait)

    def body():
        try:
            loop.run_until_complete(main())
        except OSError as e:
            box["error"] = e
            started.set()
            return
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    started.wait()
    if "error" in box:
        raise box["error"]
    try:
        yield "http://127.0.0.1:%d" % box["port"]
    finally:
        loop.call_soon_threadsafe(box["end"].set)
        thread.join(10)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", default=os.environ.get("SEED", "1"))
    p.add_argument("--rates", type=rates_of, default="rough")
    p.add_argument("--upstream", default=os.environ.get("AWS_ENDPOINT"), help="http://host:port [AWS_ENDPOINT]")
    p.add_argument("--listen", type=int, metavar="PORT")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    a, command = p.parse_args(words[:cut]), words[cut + 1:]
    if not a.upstream or (a.listen is None) != bool(command):
        p.error("an upstream and either a command or --listen PORT: see --help")
    print("proxy: SEED=%s to %s, rates %s" % (a.seed, a.upstream, ",".join("%s=%g" % x for x in a.rates.items()) or "none"), flush=True)
    proxy = Proxy(a.upstream, a.seed, a.rates)
    with running(proxy, a.listen or 0) as url:
        try:
            if command:
                return subprocess.run(command, env=dict(os.environ, AWS_ENDPOINT=url, SHALE_TEST_DIRECT=a.upstream)).returncode
            print("export AWS_ENDPOINT=%s" % url, flush=True)
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            print(proxy.summary(), flush=True)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except (OSError, ValueError) as e:
        sys.exit("proxy.py: %s" % e)
