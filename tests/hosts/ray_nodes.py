"""Machines of a Ray cluster, all on this one: prints its address and their processes, then obeys lines.

`add NAME VARIABLE=VALUE ...` adds one with these in its environment; `kill NAME` kills it like a power cut.
"""

import os
import signal
import sys
from pathlib import Path


def workers_of(raylet):
    """The processes in which a raylet, which is a machine, restores pictures."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == raylet and name.startswith(b"ray::Worker"):
            yield int(folder.name)


def main(names):
    """Run the cluster until the input ends."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # else workers stand still beside other programs
    nodes = {}
    cluster = Cluster()

    def add(name, *environment):
        variables = dict(word.split("=", 1) for word in environment)
        more = {"include_dashboard": False} if not nodes else {}
        nodes[name] = cluster.add_node(num_cpus=1, env_vars=variables, **more)

    def kill(name):
        node = nodes.pop(name)
        (raylet,) = node.all_processes["raylet"]
        for process in (raylet.process.pid, *workers_of(raylet.process.pid)):
            os.kill(process, signal.SIGKILL)
        cluster.remove_node(node, allow_graceful=False)

    for name in names:
        add(name)
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes.values()]
    sys.stdout.write(" ".join(map(str, [cluster.address, *raylets])) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        command, *words = line.split()
        {"add": add, "kill": kill}[command](*words)
        sys.stdout.write("done\n")
        sys.stdout.flush()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
