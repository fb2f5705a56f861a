"""Checks what a newcomer sees first: the public headers, the library, the programs in README.md.

- Each public header compiles by itself, as C11 and (where the compiler has it) as C++.
- The shared library exports every function that the headers declare, and nothing but `warp_`.
- In the static library internal names begin with `wg_`, so that they cannot collide with a program's.
- Each C block of README.md compiles and links with the shared library, as it lies in the build and
  as `cmake --install` puts it into a prefix that was not known when the build was configured.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def run(command, **options):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **options)


def check_headers(cc, include):
    has_cxx = run([cc, "-x", "c++", "-fsyntax-only", "-"], input="").returncode == 0
    for header in sorted(include.rglob("*.h")):
        name = header.relative_to(include).as_posix()
        for language, standard in [("c", "c11")] + [("c++", "c++11")] * has_cxx:
            result = run([cc, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Werror",
                          "-pedantic", "-fsyntax-only", "-I", include, "-"],
                         input=f"#include <{name}>\nextern int nothing;\n")
            if result.returncode:
                yield f"<{name}> as {language}:\n{result.stdout}"


def declared(include):
    """The functions of the public headers."""
    text = "".join(header.read_text() for header in include.rglob("*.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return set(re.findall(r"^WARP_API\b[^;{]*?\b(warp_\w+)\(", text, re.M))


def defined(nm, library, *options):
    """The symbols that others can link with."""
    result = run([nm, "--defined-only", *options, library], check=True)
    lines = (line.split() for line in result.stdout.splitlines())
    return {parts[2].split("@")[0] for parts in lines if len(parts) == 3}


def check_symbols(nm, shared, static, include):
    exported = defined(nm, shared, "--dynamic")
    functions = declared(include)
    if not functions:
        yield "no functions found in the public headers"
    for name in sorted(functions - exported):
        yield f"declared but not exported: {name}"
    # Sanitizers and coverage add names of their own, all reserved: a leading underscore.
    for name in sorted(exported):
        if not re.match(r"warp_|_", name):
            yield f"exported: {name}"
    for name in sorted(defined(nm, static, "--extern-only")):
        if not re.match(r"warp_|wg_|_", name):
            yield f"without prefix: {name}"


def check_readme(cc, flags, readme, library):
    """`library` is what the compiler is told to find header and library."""
    programs = re.findall(r"^```c\n(.*?)^```", readme.read_text(), re.M | re.S)
    if not programs:
        yield f"no C program in {readme}"
    for program in programs:
        with tempfile.TemporaryDirectory() as folder:
            result = run([cc, *flags, "-x", "c", "-std=c11", "-Wall", "-Werror", "-o",
                          f"{folder}/program", "-", "-x", "none", *library], input=program)
            if result.returncode:
                yield f"{readme.name}:\n{program}\n{result.stdout}"


def check_install(cc, flags, readme, build):
    with tempfile.TemporaryDirectory() as prefix:
        run(["cmake", "--install", build, "--prefix", prefix], check=True)
        found = [str(file.parent) for file in Path(prefix).rglob("warpgate.pc")]
        if len(found) != 1:
            yield f"warpgate.pc is installed in {found}"
            return
        library = run(["pkg-config", "--cflags", "--libs", "warpgate"], check=True,
                      env={**os.environ, "PKG_CONFIG_PATH": found[0]}).stdout.split()
        # Of another warpgate on this machine both would be found without our prefix.
        for option in ("-I", "-L"):
            if not any(word.startswith(option + prefix) for word in library):
                yield f"pkg-config does not name the prefix with {option}: {library}"
        yield from check_readme(cc, flags, readme, library)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("check", choices=["headers", "symbols", "readme", "install"])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--build", type=Path)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--flag", default=[], action="append", help="one more for the compiler")
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--shared")
    parser.add_argument("--static")
    options = parser.parse_args()

    include = options.root / "src/include"
    readme = options.root / "README.md"
    if options.check == "headers":
        faults = check_headers(options.cc, include)
    elif options.check == "symbols":
        faults = check_symbols(options.nm, options.shared, options.static, include)
    elif options.check == "install":
        faults = check_install(options.cc, options.flag, readme, options.build)
    else:
        faults = check_readme(options.cc, options.flag, readme,
                              ["-I", include, options.shared])
    faults = list(faults)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
