"""`fastnn info`: what runs here."""

from __future__ import annotations

import argparse
import json
import platform


def run(options: argparse.Namespace) -> None:
    import numpy

    import fastnn
    from fastnn.kernels import _core

    about = {
        "version": fastnn.__version__,
        "instruction set": _core.instruction_set(),
        "usable instruction sets": _core.usable_instruction_sets(),
        "threads": _core.get_num_threads(),
        "kernels": len(_core.kernel_names()),
        "compiler": _core.build_info()["compiler"],
        "compiler flags": _core.build_info()["flags"],
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if options.json:
        print(json.dumps({name.replace(" ", "_"): value for name, value in about.items()}, indent=2))
        return
    width = max(map(len, about))
    for name, value in about.items():
        print(f"{name:<{width}}  {', '.join(value) if isinstance(value, list) else value}")
