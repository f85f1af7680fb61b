"""What code of a user's tries that it should not be able to do."""

from __future__ import annotations

# Needs ``socket``: a tunnel through the enclosure's proxy to HOST:PORT, or OSError.
THROUGH_PROXY = """
def through_proxy(target):
    with socket.create_connection(("127.0.0.1", 3128), 2) as s:
        s.settimeout(5)
        s.sendall(f"CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n".encode())
        said = b""
        while b"\\r\\n" not in said and (piece := s.recv(100)):
            said += piece
        status = said.split(b" ")[1:2]
        if status != [b"200"]:
            raise OSError(f"the proxy says {status}")
        return "tunnel"
"""


def daemon(nap_s: int) -> str:
    """A function that leaves a process behind which nothing but SIGKILL ends, asleep for so
    long, and does not answer."""
    return f"""
import os, signal, time
def handler(e, c):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for n in range(1, 32):
                try: signal.signal(n, signal.SIG_IGN)
                except OSError: pass
            os.execv('/bin/sleep', ['sleep', '{nap_s}'])
        os._exit(0)
    time.sleep(60)
"""
