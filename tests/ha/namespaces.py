"""Namespaces: a network and processes of our own, where a machine can be cut off.

Each machine runs under an account of its own. What the account sends is dropped, and so is what is
sent to its ports.
"""

import os
import subprocess
import sys

_INSIDE = "CINELOG_HA_INSIDE"
# A shell is process 1: it reaps the servers whose parent was killed.
_INIT = '"$@" & wait $!'


def enter():
    """Run this command again inside new namespaces, unless it is inside already."""
    if os.environ.pop(_INSIDE, None):
        _run("ip", "link", "set", "lo", "up")
        return
    if os.geteuid() != 0:
        sys.exit("test-ha needs root: it starts servers under several accounts, in namespaces")
    args = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    args += ["sh", "-c", _INIT, "sh", *sys.orig_argv]
    os.execvpe(args[0], args, os.environ | {_INSIDE: "1"})


class Network:
    """Cuts machines off and joins them again."""

    def __init__(self):
        _nft("add table inet ha")
        _nft("add chain inet ha out { type filter hook output priority 0; policy accept; }")

    def cut_off(self, machine):
        ports = ", ".join(map(str, machine.ports))
        _nft(f"add rule inet ha out meta skuid {machine.uid} drop")
        _nft(f"add rule inet ha out tcp dport {{ {ports} }} drop")

    def cut_replication(self, standbys, port):
        """Drop what standbys send to a primary."""
        for machine in standbys:
            _nft(f"add rule inet ha out meta skuid {machine.uid} tcp dport {port} drop")

    def join(self):
        _nft("flush chain inet ha out")


def _nft(rule):
    _run("nft", rule)


def _run(*args):
    subprocess.run(args, check=True, capture_output=True, text=True)
