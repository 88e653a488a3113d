"""Builds the extensions: csrc once per instruction set, linked into fastnn.kernels._core; every other kernel module is Cython alone."""

import os
import platform
import re
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MSVC = sys.platform == "win32"
ARM = platform.machine().lower() in ("arm64", "aarch64")
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
COMMON = ["/O2", "/std:c11", "/fp:precise"] if MSVC else ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-g0"]
# The wheel is to stay small. Only debuggers and profilers read unwind tables. GCC's copies of functions and loops for special cases gain nothing here, where
# the sources state such cases themselves (measured over 60 kernels); float64 goes without still more of them.
CLANG = "clang" in (os.environ.get("CC") or sysconfig.get_config_var("CC") or "") or sys.platform == "darwin"
SMALL = [] if MSVC else ["-fno-asynchronous-unwind-tables"]
QUIET = [] if MSVC or CLANG else ["-Wno-maybe-uninitialized"]  # tiles of fewer rows leave the rest of their arrays alone
DTYPE_FLAGS = {
    "f32": [] if MSVC or CLANG else ["-fno-ipa-cp-clone", "-fno-unswitch-loops", "-fno-split-loops", "--param=max-inline-insns-auto=15"],
    "f64": [] if MSVC or CLANG else ["-O2", "-fpeel-loops", "-fvect-cost-model=dynamic", "-fno-tree-slp-vectorize", "--param=max-completely-peeled-insns=100"],
}
ISA_FLAGS = {
    "scalar": [] if ARM or MSVC else ["-Os"],  # few processors have no AVX2; the wheel stays small
    "neon": [],
    "avx2": ["/arch:AVX2"] if MSVC else ["-mavx2", "-mfma"],
    "avx512": ["/arch:AVX512"] if MSVC else ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"],
}
ISAS = ("scalar", "neon") if ARM else ("scalar", "avx2", "avx512")
# Cython without its shortcuts into Python's objects: 2 KB of the wheel for each module.
SMALL_CYTHON = [("CYTHON_" + shortcut, "0") for shortcut in ("UNPACK_METHODS", "USE_PYTYPE_LOOKUP", "USE_TYPE_SLOTS", "USE_DICT_VERSIONS", "FAST_THREAD_STATE")]
FAST = ("_arrays", "_core", "_replay")  # what every call goes through
KERNELS = Path("fastnn/kernels")


def c_sources() -> dict[str, list[str]]:
    """Every C source with its compiler flags: those in csrc/isa get the flags of their instruction set, the rest are baseline."""
    sources = {str(path): COMMON + SMALL for path in sorted(Path("csrc").rglob("*.c")) if path.parent.name != "isa"}
    for isa in ISAS:
        sources |= {f"csrc/isa/{isa}_{dtype}.c": COMMON + QUIET + DTYPE_FLAGS[dtype] + SMALL + ISA_FLAGS[isa] for dtype in DTYPE_FLAGS}
    return sources


def write_table_pxd() -> None:
    """Write kernels.def's argument structs and kernel table as Cython declarations, so that they are stated once."""
    text = re.sub(r"/\*.*?\*/", "", Path("csrc/kernels.def").read_text(), flags=re.DOTALL)
    lines = ["# Written by setup.py from csrc/kernels.def.", "from fastnn.kernels._fnn cimport fnn_kernel, int64_t, ptrdiff_t, uint64_t", "", 'cdef extern from "fnn.h" nogil:']
    layouts = []
    for name, declarations in re.findall(r"FNN_ARGS\((\w+),(.*?)\)\s*\n", text, flags=re.DOTALL):
        fields = [" ".join(field.split()) for field in declarations.split(";") if field.strip()]
        lines += [f"    ctypedef struct fnn_{name}_args:", *(f"        {field}" for field in fields)]
        layouts.append(f"        {name!r}: (sizeof(fnn_{name}_args), {'; '.join(fields)!r}),")
    lines.append("    ctypedef struct fnn_table:")
    kernels = re.findall(r"FNN_KERNEL\((\w+), (\w+)\)", text)
    lines += [f"        fnn_kernel {name}[2]" for name, _ in kernels]
    lines += ["", f"# {len(kernels)} kernels", "cdef inline dict kernel_sets():", f"    return {dict(kernels)!r}",
              "# {set: (size of the struct, its fields in C)}", "cdef inline dict argument_layouts():", "    return {", *layouts, "    }",
              "cdef inline str build_flags():", f"    return {' '.join(COMMON)!r}", ""]
    target, content = KERNELS / "_table.pxd", "\n".join(lines)
    if not target.exists() or target.read_text() != content:
        target.write_text(content)


class BuildExt(build_ext):
    """build_ext that compiles csrc in parallel first and hands its objects to the core extension."""

    def build_extensions(self) -> None:
        self.parallel = self.parallel or THREADS
        newest_header = max(path.stat().st_mtime for path in Path("csrc").rglob("*") if path.suffix in (".h", ".def"))

        def compile_one(source: str, flags: list[str]) -> str:
            target = self.compiler.object_filenames([source], output_dir=self.build_temp)[0]
            stamp = max(newest_header, Path(source).stat().st_mtime, Path(__file__).stat().st_mtime)
            if self.force or not os.path.exists(target) or os.path.getmtime(target) < stamp:
                self.compiler.compile([source], output_dir=self.build_temp, include_dirs=["csrc"], extra_postargs=flags)
            return target

        sources = c_sources()
        with ThreadPoolExecutor(THREADS) as executor:
            objects = list(executor.map(compile_one, sources, sources.values()))
        for extension in self.extensions:
            if extension.name == "fastnn.kernels._core":
                extension.extra_objects = objects
                extension.depends = [*extension.depends, *objects]  # else a changed kernel would not be linked
        super().build_extensions()


write_table_pxd()
extensions = [
    Extension(
        "fastnn.kernels." + path.stem,
        [str(path)],
        include_dirs=["csrc", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), *([] if path.stem in FAST else SMALL_CYTHON)],
        extra_compile_args=["/O2"] if MSVC else ["-O2" if path.stem in FAST else "-Os", *SMALL, "-fno-plt", "-fvisibility=hidden", "-g0", "-Wno-unused-function", "-Wno-sign-compare"],
        extra_link_args=["-Wl,-s,--build-id=none,-z,noseparate-code", "-pthread"] if sys.platform.startswith("linux") else [],
        depends=["csrc/fnn.h", "csrc/kernels.def"],
    )
    for path in sorted(KERNELS.glob("*.pyx"))
]
setup(
    ext_modules=cythonize(
        extensions,
        nthreads=0,
        compiler_directives={
            "language_level": 3,
            "cdivision": True,
            "binding": False,  # plain built-in functions: each module is 7 KB smaller in the wheel, and calls are faster
            "embedsignature": True,
            "embedsignature.format": "clinic",
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildExt},
)
