#!/usr/bin/env python3
"""Processor time that the gateway spends on a request that it refuses, from outside.

    benches/refused.py PROGRAM [REQUESTS]

A gateway on 127.0.0.10:5060 that knows none of them gets INVITEs from 250 addresses, and then from a
single one, to which it falls silent above its rate. Linux only.
"""
import os, socket, subprocess, sys, tempfile, time

PEER = ("127.0.0.10", 5060)
program, requests = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20_000


def invite(source, number):
    return (f"INVITE sip:600@{PEER[0]} SIP/2.0\r\nVia: SIP/2.0/UDP {source}:5071;branch=z9hG4bK{number}\r\n"
            f"From: <sip:stranger@{source}>;tag={number}\r\nTo: <sip:600@{PEER[0]}>\r\nCall-ID: {number}@{source}\r\n"
            f"CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:stranger@{source}:5071>\r\nContent-Length: 0\r\n\r\n").encode()


def spent(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


with tempfile.TemporaryDirectory() as scratch:
    plan = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "dialplans", "bench.toml")
    gateway = subprocess.Popen([os.path.abspath(program), "run", "-c", plan, "--control", f"{scratch}/control"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=scratch)
    try:
        time.sleep(1)
        for label, sources in [("from 250 addresses", 250), ("from one address", 1)]:
            sockets = []
            for n in range(sources):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.bind((f"127.0.{3 + sources % 7}.{n + 1}", 5071))
                s.setblocking(False)
                sockets.append(s)
            answers = out = back = 0
            before = spent(gateway.pid)
            for number in range(requests):
                s = sockets[number % sources]
                request = invite(s.getsockname()[0], number)
                out += s.sendto(request, PEER)
                if number % 50 == 49:
                    time.sleep(0.004)  # so that none is lost in a full buffer
                try:
                    back += len(s.recv(4096))
                    answers += 1
                except BlockingIOError:
                    pass
            time.sleep(0.5)
            for s in sockets:
                try:
                    while True:
                        back += len(s.recv(4096))
                        answers += 1
                except BlockingIOError:
                    s.close()
            micros = (spent(gateway.pid) - before) / requests * 1e6
            print(f"{label}: {micros:.1f} us a request, {answers} of {requests} answered, {back / out:.2f} octets back for each sent")
    finally:
        gateway.terminate()
        gateway.wait()
