#!/usr/bin/python3
"""Runs pipe_bench with a broker beside it, which nodes need to punch UDP, and where it finds one."""

import argparse
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
from ports import reserve  # noqa: E402


def program_of(fixtures, name):
    """Where a server is, and the environment to run it in: installed, or unpacked by ci/setup."""
    path, env = os.environ["PATH"] + ":/usr/sbin", {**os.environ}
    if fixtures.is_dir():
        path = f"{fixtures}/usr/sbin:{fixtures}/usr/bin:{path}"
        env["LD_LIBRARY_PATH"] = ":".join(map(str, (fixtures / "usr/lib").glob("*-linux-*")))
    program = shutil.which(name, path=path)
    if program is None:
        sys.exit(f"no {name} here: run ci/setup, which fetches it")
    return program, env


@contextlib.contextmanager
def broker(fixtures):
    """A mosquitto that runs as long as this: its address, its program, the program's environment."""
    program, env = program_of(fixtures, "mosquitto")
    port = reserve()
    with tempfile.TemporaryDirectory(prefix="warpgate-bench-") as folder:
        conf = pathlib.Path(folder, "mosquitto.conf")
        conf.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "log_dest stderr\nset_tcp_nodelay true\n"
            "connection_messages false\n"  # nobody reads on, and a full pipe would stop it
        )
        process = subprocess.Popen([program, "-c", conf], env=env, stderr=subprocess.PIPE)
        try:
            for line in process.stderr:
                if b"running" in line:
                    break
            else:
                sys.exit("the broker did not start")
            yield f"127.0.0.1:{port}", program, env
        finally:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog="Other arguments: pipe_bench --help")
    parser.add_argument("--program", type=pathlib.Path, required=True, help="the program pipe_bench")
    parser.add_argument("--fixtures", type=pathlib.Path, required=True, help="unpacked servers")
    args, others = parser.parse_known_args()
    with broker(pathlib.Path(os.environ.get("NATSIM_FIXTURES", args.fixtures))) as (address, program, env):
        command = [args.program.resolve(), "--broker", address, "--broker-program", program, *others]
        sys.exit(subprocess.run(command, env=env).returncode)


if __name__ == "__main__":
    main()
