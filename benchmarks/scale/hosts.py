"""Hosts within this machine: network namespaces on a bridge, each with its own address. It takes root, and `ip`."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SERVER", "hosts"]

NAME = "arscale"
SERVER = "10.87.0.1"  # the address of this machine, as the hosts see it


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


@contextmanager
def hosts(count: int) -> Iterator[list[list[str]]]:
    """Yield, for each host, the words before a command that run it there; take all of them down again."""
    names = [f"{NAME}{k}" for k in range(1, count + 1)]
    try:
        ip("link", "add", NAME, "type", "bridge")
        ip("addr", "add", f"{SERVER}/24", "dev", NAME)
        ip("link", "set", NAME, "up")
        for k, name in enumerate(names, 2):
            ip("netns", "add", name)
            ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
            ip("link", "set", f"{name}a", "master", NAME, "up")
            ip("link", "set", f"{name}b", "netns", name)
            ip("-n", name, "addr", "add", f"10.87.0.{k}/24", "dev", f"{name}b")
            ip("-n", name, "link", "set", f"{name}b", "up")
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            ip("netns", "del", name, check=False)
        ip("link", "del", NAME, check=False)
